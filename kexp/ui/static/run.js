// One run: its curves and its log as they grow, and its outcome when it ends.
import { curves } from "./curves.js";
import { element, fragment, listen, showTrouble } from "./page.js";

const MOST = 200_000; // characters of the log that are kept

const place = document.getElementById("run");
const log = document.getElementById("log");

function addLog({ reset, text }) {
  const atEnd = log.scrollTop + log.clientHeight >= log.scrollHeight - 4;
  log.textContent = ((reset ? "" : log.textContent) + text).slice(-MOST);
  if (atEnd || reset) log.scrollTop = log.scrollHeight;
}

function showProgress({ status, step, total }) {
  document.getElementById("status").replaceChildren(element("span", status, { class: `status ${status}` }));
  const bar = document.getElementById("progress");
  bar.hidden = status !== "running";
  bar.querySelector("progress").max = total || 1;
  bar.querySelector("progress").value = step;
  bar.querySelector("span").textContent = `step ${step} of ${total}`;
}

function showOutcome({ html }) {
  document.getElementById("outcome").replaceChildren(fragment(html));
}

listen(() => `/events/run?${new URLSearchParams({ run: place.dataset.run })}`, {
  curves: curves(place, JSON.parse(place.dataset.titles), JSON.parse(place.dataset.groups)),
  log: addLog,
  progress: showProgress,
  outcome: showOutcome,
  trouble: showTrouble,
});
