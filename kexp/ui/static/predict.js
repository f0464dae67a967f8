// Predictions: models are loaded as soon as they are chosen; probabilities come first, then what each word adds.
import { element, listen, post } from "./page.js";

const form = document.getElementById("predict");
const message = document.getElementById("message");
const boxes = () => [...form.querySelectorAll("input[name=run]:checked")];
const chosen = () => boxes().map((box) => box.value);

// A text box for each column of the chosen models, and the one for a text alone if a model takes that.
function showColumns() {
  const names = new Set(boxes().flatMap((box) => JSON.parse(box.dataset.columns || "[]")));
  const one = names.size === 0 || boxes().some((box) => !box.dataset.columns);
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

// --- loading --------------------------------------------------------------------------------------------------------

let stop = () => {};
let states = new Map();

function showStates() {
  const all = [...states.values()];
  const going = all.filter(({ state }) => state === "waiting" || state === "loading");
  const bar = document.getElementById("loading");
  bar.hidden = !going.length;
  bar.max = all.length;
  // Without a value the bar moves: one model tells no share.
  if (all.length > 1) bar.value = all.length - going.length;
  else bar.removeAttribute("value");
  const failed = all.find(({ state }) => state === "failed");
  if (failed) message.textContent = failed.reason;
  else if (going.length) message.textContent = `loading ${all.length > 1 ? `${all.length - going.length + 1} of ${all.length} models` : "the model"}…`;
  else if (message.textContent.startsWith("loading")) message.textContent = all.length ? "ready" : "";
}

async function loadModels() {
  stop();
  const runs = chosen();
  states = new Map(runs.map((run) => [run, { state: "waiting" }]));
  if (!runs.length || runs.length > Number(form.dataset.most)) {
    states.clear();
    return showStates();
  }
  showStates();
  try {
    await post("/data/models", { runs });
  } catch (error) {
    states.clear();
    showStates();
    message.textContent = error.message;
    return;
  }
  if (String(runs) !== String(chosen())) return;
  const query = new URLSearchParams(runs.map((run) => ["run", run]));
  stop = listen(() => `/events/models?${query}`, {
    state: (state) => {
      states.set(state.run, state);
      showStates();
    },
  });
}

function choose() {
  const query = new URLSearchParams(chosen().map((run) => ["run", run]));
  history.replaceState(null, "", query.size ? `/predict?${query}` : "/predict");
  showColumns();
  loadModels();
}

// --- predicting -----------------------------------------------------------------------------------------------------

let latest = 0;

async function predict() {
  const number = ++latest;
  const runs = chosen();
  const columns = Object.fromEntries([...form.querySelectorAll("#columns textarea")].map((area) => [area.name, area.value]));
  const asked = { text: document.getElementById("text").value, columns };
  message.textContent = "predicting…";
  const answers = await post("/data/predict", { ...asked, runs, words: false });
  if (number !== latest) return;
  const cards = new Map(answers.map((answer) => [answer.run, card(answer)]));
  document.getElementById("answers").replaceChildren(...cards.values());
  message.textContent = "weighing words…";
  for (const run of runs) {
    const [answer] = await post("/data/predict", { ...asked, runs: [run] });
    if (number !== latest) return;
    cards.get(run).append(wordsOf(answer.words));
  }
  message.textContent = "";
}

function card(answer) {
  const made = element("section", undefined, { class: "card" });
  made.append(element("h2", answer.run));
  const sorted = Object.entries(answer.probabilities).sort((a, b) => b[1] - a[1]);
  for (const [label, probability] of sorted) {
    const row = element("div", undefined, { class: "probability" });
    const meter = element("meter", undefined, { value: probability, max: 1, "aria-label": label });
    row.append(element("span", label), meter, element("span", probability.toFixed(3)));
    made.append(row);
  }
  return made;
}

function wordsOf(words) {
  const made = element("p", undefined, { class: "words", lang: "ko" });
  const most = Math.max(0.02, ...words.map(([, worth]) => Math.abs(worth)));
  for (const [word, worth] of words) {
    const shade = Math.round((60 * Math.abs(worth)) / most);
    const colour = worth >= 0 ? "var(--series-2)" : "var(--series-1)";
    const span = element("span", word, { title: worth.toFixed(3) });
    span.style.background = `color-mix(in srgb, ${colour} ${shade}%, transparent)`;
    made.append(span, " ");
  }
  return made;
}

if (form) {
  form.addEventListener("change", (event) => event.target.name === "run" && choose());
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (!chosen().length || chosen().length > Number(form.dataset.most)) {
      message.textContent = `choose one to ${form.dataset.most} models`;
      return;
    }
    try {
      await predict();
    } catch (error) {
      message.textContent = error.message;
    }
  });
  showColumns();
  loadModels();
}
