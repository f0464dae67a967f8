// Sorting, filtering, live curves and predictions. Without scripts the pages can still be read.
"use strict";

const LIVE = 3000; // milliseconds between two updates of what is running

function element(tag, text, attributes = {}) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

async function request(url, options) {
  const response = await fetch(url, options);
  const answer = await response.json();
  if (!response.ok) throw new Error(typeof answer.detail === "string" ? answer.detail : "the request is not valid");
  return answer;
}

// --- tables ---------------------------------------------------------------------------------------------------------

function makeSortable(table) {
  table.querySelectorAll("thead th button").forEach((button) => {
    button.addEventListener("click", () => {
      const head = button.closest("th");
      const column = head.cellIndex;
      const down = head.getAttribute("aria-sort") === "ascending";
      head.parentElement.querySelectorAll("th").forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const rows = [...table.tBodies[0].rows].sort((a, b) => {
        const [x, y] = [a.cells[column].innerText.trim(), b.cells[column].innerText.trim()];
        // Rows without a value come last in either order.
        if (!x || !y) return x ? -1 : y ? 1 : 0;
        const order = isNaN(x) || isNaN(y) ? x.localeCompare(y, "ko") : x - y;
        return down ? -order : order;
      });
      table.tBodies[0].append(...rows);
    });
  });
}

function startRuns(form) {
  const filter = form.querySelector("#filter");
  const rows = () => [...form.querySelectorAll("tbody tr")];
  filter.addEventListener("input", () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    rows().forEach((row) => { row.hidden = !words.every((word) => row.innerText.toLowerCase().includes(word)); });
  });
  form.addEventListener("change", () => {
    const count = form.querySelectorAll("input[name=run]:checked").length;
    form.querySelector("#compare").disabled = count < 1 || count > 8;
    form.querySelector("#chosen").textContent = count ? `${count} chosen` : "";
  });
  setInterval(() => refresh(rows()), LIVE);
}

async function refresh(rows) {
  const known = new Map(rows.map((row) => [row.dataset.key, row]));
  const runs = await request("/data/runs");
  // A new or finished run changes more than its progress: reload the page, unless runs are selected.
  const changed = runs.some((run) => !known.has(run.key) || (known.get(run.key).querySelector("progress") && run.status !== "running"));
  if (changed && !document.querySelector("input[name=run]:checked")) return location.reload();
  for (const run of runs) {
    const bar = known.get(run.key)?.querySelector("progress");
    if (bar) bar.value = run.step;
  }
}

// --- curves ---------------------------------------------------------------------------------------------------------

async function startCurves(place) {
  const titles = JSON.parse(place.dataset.runs);
  const query = new URLSearchParams(Object.keys(titles).map((key) => ["run", key]));
  const select = document.getElementById("metric");
  const draw = async () => {
    const runs = await request(`/data/curves?${query}`);
    const names = Object.keys(runs[0].evaluations).filter((name) => !["epoch", "train_loss", "cross_entropy"].includes(name));
    if (!select.options.length) names.forEach((name) => select.append(element("option", name)));
    const style = getComputedStyle(document.body);
    const axis = { gridcolor: "rgba(128,137,149,.25)", zeroline: false };
    place.querySelectorAll(".plot").forEach((plot) => {
      const curve = plot.dataset.curve === "metric" ? select.value : plot.dataset.curve;
      const lines = runs.map((run) => {
        const part = curve === "loss" ? run.steps : run.evaluations;
        return { x: part.epoch, y: part[curve] ?? [], name: titles[run.key], mode: part.epoch.length > 40 ? "lines" : "lines+markers" };
      });
      const layout = {
        margin: { t: 8, r: 8, b: 36, l: 48 }, paper_bgcolor: "transparent", plot_bgcolor: "transparent", showlegend: runs.length > 1,
        legend: { orientation: "h", y: -0.2 }, font: { color: style.color, family: style.fontFamily }, xaxis: { ...axis, title: { text: "epoch" } }, yaxis: axis,
      };
      Plotly.react(plot, lines, layout, { displayModeBar: false, responsive: true });
    });
  };
  select.addEventListener("change", draw);
  await draw();
  setInterval(draw, LIVE);
}

// --- predictions ----------------------------------------------------------------------------------------------------

// A text box for each column of the chosen models, and the one for a text alone if a model takes that.
function showColumns(form) {
  const boxes = [...form.querySelectorAll("input[name=run]:checked")];
  const names = new Set(boxes.flatMap((box) => JSON.parse(box.dataset.columns || "[]")));
  const one = names.size === 0 || boxes.some((box) => !box.dataset.columns);
  document.getElementById("one").hidden = !one;
  document.getElementById("text").required = one;
  const place = document.getElementById("columns");
  const known = new Map([...place.querySelectorAll("textarea")].map((area) => [area.name, area.value]));
  place.replaceChildren(...[...names].map((name) => {
    const label = element("label", name);
    const area = element("textarea", undefined, { name, lang: "ko", required: "", maxlength: 20000 });
    area.value = known.get(name) || "";
    label.append(area);
    return label;
  }));
}

function startPredict(form) {
  const message = document.getElementById("message");
  showColumns(form);
  form.addEventListener("change", (event) => event.target.name === "run" && showColumns(form));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const runs = [...form.querySelectorAll("input[name=run]:checked")].map((box) => box.value);
    if (!runs.length || runs.length > 8) {
      message.textContent = "choose one to eight models";
      return;
    }
    message.textContent = "predicting…";
    try {
      const columns = Object.fromEntries([...form.querySelectorAll("#columns textarea")].map((area) => [area.name, area.value]));
      const body = JSON.stringify({ text: document.getElementById("text").value, columns, runs });
      const answers = await request("/data/predict", { method: "POST", headers: { "Content-Type": "application/json" }, body });
      document.getElementById("answers").replaceChildren(...answers.map(card));
      message.textContent = "";
    } catch (error) {
      message.textContent = error.message;
    }
  });
}

function card(answer) {
  const made = element("section", undefined, { class: "card" });
  made.append(element("h3", answer.run));
  const sorted = Object.entries(answer.probabilities).sort((a, b) => b[1] - a[1]);
  for (const [label, probability] of sorted) {
    const row = element("div", undefined, { class: "probability" });
    row.append(element("span", label), element("meter", undefined, { value: probability, max: 1 }), element("span", probability.toFixed(3)));
    made.append(row);
  }
  const words = element("p", undefined, { class: "words", lang: "ko" });
  const most = Math.max(0.02, ...answer.words.map(([, worth]) => Math.abs(worth)));
  for (const [word, worth] of answer.words) {
    const shade = Math.round((60 * Math.abs(worth)) / most);
    const colour = worth >= 0 ? "var(--series-2)" : "var(--series-1)";
    const span = element("span", word, { style: `background: color-mix(in srgb, ${colour} ${shade}%, transparent)`, title: worth.toFixed(3) });
    words.append(span, " ");
  }
  made.append(words);
  return made;
}

document.querySelectorAll("table.sortable").forEach(makeSortable);
const starts = { runs: startRuns, curves: startCurves, predict: startPredict };
for (const [id, start] of Object.entries(starts)) {
  const place = document.getElementById(id);
  // plotly.js is deferred too, and is loaded after this file.
  if (place) window.addEventListener("load", () => start(place));
}
