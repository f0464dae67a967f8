// The table of runs: choosing, filtering, sorting, and what changes while one looks at it.
import { fragment, listen, localTimes } from "./page.js";
import { makeSortable, sort } from "./tables.js";

const form = document.getElementById("runs");
const list = () => document.getElementById("list");
const sections = () => [...list().querySelectorAll("[data-section]")];
const groups = (place) => [...place.querySelectorAll("[data-group]")];

// --- the choice, which stays over reloads, filters and changes -----------------------------------------------------

const STORE = `kexp runs ${form.dataset.folder}`;
const chosen = new Set(JSON.parse(localStorage.getItem(STORE) ?? "[]"));

function showChosen() {
  for (const group of groups(list())) {
    const boxes = [...group.querySelectorAll("input[name=run]")];
    boxes.forEach((box) => { box.checked = chosen.has(box.value); });
    const count = boxes.filter((box) => box.checked).length;
    const all = group.querySelector(".all");
    all.checked = count === boxes.length;
    all.indeterminate = count > 0 && count < boxes.length;
  }
  const [count, most] = [chosen.size, Number(form.dataset.most)];
  document.getElementById("chosen").textContent = count > most ? `${count} chosen, at most ${most} are compared` : count ? `${count} chosen` : "";
  document.getElementById("compare").disabled = count < 1 || count > most;
  document.getElementById("predict").disabled = count < 1 || count > 8;
  document.getElementById("clear").hidden = !count;
}

function choose(boxes, checked) {
  boxes.forEach((box) => (checked ? chosen.add(box.value) : chosen.delete(box.value)));
  localStorage.setItem(STORE, JSON.stringify([...chosen]));
  showChosen();
}

form.addEventListener("change", ({ target }) => {
  if (target.name === "run") choose([target], target.checked);
  if (target.className === "all") choose([...target.closest("tbody").querySelectorAll("input[name=run]")], target.checked);
});
document.getElementById("clear").addEventListener("click", () => {
  chosen.clear();
  choose([], false);
});
// Those that are chosen and not shown count too.
form.addEventListener("submit", (event) => {
  event.preventDefault();
  const path = event.submitter?.getAttribute("formaction") ?? form.getAttribute("action");
  location.assign(`${path}?${new URLSearchParams([...chosen].map((key) => ["run", key]))}`);
});

// --- groups that are open -------------------------------------------------------------------------------------------

const opened = new Set(JSON.parse(sessionStorage.getItem(STORE) ?? "[]"));

function showOpened(group) {
  const open = opened.has(group.dataset.group);
  group.querySelector(".expand").setAttribute("aria-expanded", open);
  group.querySelectorAll("tr.run").forEach((row) => { row.hidden = !open; });
}

form.addEventListener("click", ({ target }) => {
  const button = target.closest(".expand");
  if (!button) return;
  const group = button.closest("tbody");
  if (!opened.delete(group.dataset.group)) opened.add(group.dataset.group);
  sessionStorage.setItem(STORE, JSON.stringify([...opened]));
  showOpened(group);
});

// --- what the server tells ------------------------------------------------------------------------------------------

const sorted = new Map(); // column and direction by experiment

function show(section) {
  const table = section.querySelector("table");
  const name = section.dataset.section;
  makeSortable(table, (...how) => sorted.set(name, how));
  if (sorted.has(name)) sort(table, ...sorted.get(name));
  groups(section).forEach(showOpened);
}

function change({ order, sections: changed, groups: rows, placed, removed, token }) {
  list().dataset.token = token;
  // The keyboard's place is kept.
  const focused = document.activeElement?.closest("[data-group]") && document.activeElement.getAttribute("aria-label");
  const known = new Map(sections().map((section) => [section.dataset.section, section]));
  const shown = new Map(groups(list()).map((group) => [group.dataset.group, group]));
  removed.forEach((key) => shown.get(key)?.remove());
  const make = (key) => {
    const made = fragment(rows[key]).querySelector("[data-group]");
    showOpened(made);
    shown.get(key)?.replaceWith(made);
    shown.set(key, made);
    return made;
  };
  const added = new Set(placed.map(({ group }) => group));
  Object.keys(rows).forEach((key) => added.has(key) || make(key));
  for (const { group, experiment, before } of placed) {
    known.get(experiment)?.querySelector("table").insertBefore(make(group), shown.get(before) ?? null);
  }
  // Where the columns are sorted, new rows have a place of their own.
  new Set(placed.map(({ experiment }) => experiment)).forEach((name) => {
    if (sorted.has(name) && known.has(name)) sort(known.get(name).querySelector("table"), ...sorted.get(name));
  });
  for (const [name, html] of Object.entries(changed)) {
    const made = fragment(html).querySelector("[data-section]");
    known.get(name)?.remove();
    known.set(name, made);
  }
  known.forEach((section, name) => order.includes(name) || section.remove());
  if (order.some((name, number) => sections()[number]?.dataset.section !== name)) {
    list().prepend(...order.map((name) => known.get(name)).filter(Boolean));
  }
  Object.keys(changed).forEach((name) => show(known.get(name)));
  document.getElementById("empty")?.remove();
  showChosen();
  if (focused && document.activeElement === document.body) {
    [...list().querySelectorAll("[aria-label]")].find((one) => one.getAttribute("aria-label") === focused)?.focus();
  }
}

let stop = () => {};

function start() {
  sections().forEach(show);
  showChosen();
  stop();
  const query = new URLSearchParams(location.search);
  stop = listen(() => `/events/runs?${query}&since=${list().dataset.token}`, { table: change, trouble: () => {} });
}

// --- the filter, which the server applies to all runs ---------------------------------------------------------------

const filter = document.getElementById("filter");
let latest = 0;

async function applyFilter() {
  const number = ++latest;
  const query = new URLSearchParams(location.search);
  if (filter.value.trim()) query.set("filter", filter.value);
  else query.delete("filter");
  const url = query.size ? `/?${query}` : "/";
  const response = await fetch(url, { headers: { Accept: "text/html" } });
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const found = page.getElementById("list");
  if (number !== latest || !found) return;
  history.replaceState(null, "", url);
  localTimes(found);
  list().replaceWith(found);
  start();
}

let waiting = 0;
filter.addEventListener("input", () => {
  clearTimeout(waiting);
  waiting = setTimeout(applyFilter, 200);
});
document.getElementById("search").addEventListener("submit", (event) => {
  event.preventDefault();
  applyFilter();
});

start();
