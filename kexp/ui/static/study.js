// One study: its trials as they come.
import { element, listen, showTrouble } from "./page.js";
import { lineStyle, onScheme, plot } from "./plots.js";
import { makeSortable, sort } from "./tables.js";

const place = document.getElementById("study");
const table = document.getElementById("trials");
const trials = new Map(); // by number
let state = { goals: [], directions: [], best: null, counts: {} };
let columns = "";
let how = null; // column and direction of the sorting

const ended = () => [...trials.values()].filter((trial) => trial.values.length && trial.same_as === null);

// --- figures --------------------------------------------------------------------------------------------------------

function history() {
  const done = ended().sort((a, b) => a.trial - b.trial);
  const [x, y] = [done.map((trial) => trial.trial), done.map((trial) => trial.values[0])];
  if (state.goals.length === 2) {
    const front = { x: y, y: done.map((trial) => trial.values[1]), text: x.map((number) => `trial ${number}`), mode: "markers", name: "trials", marker: { color: lineStyle(0).color } };
    return plot(place.querySelector("[data-curve=history]"), [front], { x: state.goals[0], y: state.goals[1] });
  }
  const better = state.directions[0] === "maximize" ? Math.max : Math.min;
  const best = y.map((_, at) => better(...y.slice(0, at + 1)));
  const lines = [
    { x, y, name: "trial", mode: "markers", marker: { color: lineStyle(0).color } },
    { x, y: best, name: "best so far", mode: "lines", line: { ...lineStyle(1), shape: "hv" } },
  ];
  return plot(place.querySelector("[data-curve=history]"), lines.slice(0, state.directions.length > 1 ? 1 : 2), { x: "trial", y: state.goals[0] });
}

function reported() {
  const lines = [...trials.values()].filter((trial) => trial.steps.length).map((trial) => ({
    x: trial.steps, y: trial.reported, name: `trial ${trial.trial}`, mode: trial.steps.length > 1 ? "lines" : "markers",
    line: lineStyle(trial.trial === state.best ? 1 : 0), marker: { color: lineStyle(0).color },
    opacity: trial.trial === state.best || trial.outcome === "running" ? 1 : 0.35,
  }));
  return plot(place.querySelector("[data-curve=reported]"), lines, { x: "evaluation", y: state.goals[0] });
}

function draw() {
  history();
  reported();
}

// --- the table ------------------------------------------------------------------------------------------------------

const paths = () => [...new Set([...trials.values()].flatMap((trial) => Object.keys(trial.params)))];
const shown = (value) => (typeof value === "number" ? String(Number(value.toPrecision(5))) : value === null || value === undefined ? "" : String(value));

// The space may lack the values of the spec as it stands, which has no parameters then.
const remark = (trial) => [trial.as_it_stands ? "the spec as it stands" : "", trial.same_as === null ? trial.reason : `same as trial ${trial.same_as}`].filter(Boolean).join("; ");

function row(trial) {
  const cells = [trial.trial, trial.outcome, ...state.goals.map((_, at) => trial.values[at]), ...paths().map((path) => trial.params[path]),
    trial.seconds, remark(trial)];
  const made = element("tr", undefined, trial.trial === state.best ? { class: "best" } : {});
  cells.forEach((value, at) => {
    const cell = element(at ? "td" : "th", shown(value), at ? {} : { scope: "row" });
    cell.dataset.value = value ?? "";
    if (typeof value === "number") cell.className = "number";
    made.append(cell);
  });
  const body = element("tbody", undefined, { "data-trial": trial.trial });
  body.append(made);
  return body;
}

function head() {
  const line = element("tr");
  for (const name of ["trial", "outcome", ...state.goals, ...paths(), "seconds", "remark"]) {
    const cell = element("th", undefined, { scope: "col" });
    cell.append(element("button", name, { type: "button" }));
    line.append(cell);
  }
  table.tHead.replaceChildren(line);
  makeSortable(table, (...column) => { how = column; });
}

function take({ trials: changed, ...rest }) {
  const before = state.best;
  state = rest;
  changed.forEach((trial) => trials.set(trial.trial, trial));
  const names = JSON.stringify([state.goals, paths()]);
  const again = names !== columns || before !== state.best;
  if (names !== columns) head();
  columns = names;
  if (again) [...table.tBodies].forEach((body) => body.remove());
  for (const trial of again ? trials.values() : changed) {
    const old = [...table.tBodies].find((body) => Number(body.dataset.trial) === trial.trial);
    if (old) old.replaceWith(row(trial));
    else table.append(row(trial));
  }
  if (how) sort(table, ...how);
  const status = element("span", state.status, { class: `status ${state.status}` });
  document.getElementById("status").replaceChildren(status);
  document.getElementById("counts").textContent = Object.entries(state.counts).map(([name, count]) => `${count} ${name}`).join(", ");
  draw();
}

onScheme(draw);
listen(() => `/events/study?${new URLSearchParams({ study: place.dataset.study })}`, { study: take, trouble: showTrouble });
