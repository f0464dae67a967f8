// Plotly's figures in the colours of the page, and a legend beside them that wraps: no name is cut.
import { element } from "./page.js";

const COLOURS = ["--series-0", "--series-1", "--series-2", "--series-3"];
const DASHES = ["solid", "dash", "dot", "dashdot"];

// The colour and the dash of the line of that number: sixteen lines differ.
export function lineStyle(number) {
  const style = getComputedStyle(document.documentElement);
  const name = COLOURS[number % COLOURS.length];
  return { color: style.getPropertyValue(name).trim(), dash: DASHES[Math.floor(number / COLOURS.length) % DASHES.length] };
}

export function plot(place, lines, { x, y } = {}) {
  const style = getComputedStyle(document.body);
  const axis = { gridcolor: "rgba(128,137,149,.25)", zeroline: false, automargin: true };
  const layout = {
    margin: { t: 8, r: 12, b: 40, l: 48 }, paper_bgcolor: "transparent", plot_bgcolor: "transparent", showlegend: false,
    font: { color: style.color, family: style.fontFamily }, hoverlabel: { namelength: -1 }, hovermode: "closest",
    xaxis: { ...axis, title: { text: x } }, yaxis: { ...axis, title: y ? { text: y } : undefined },
  };
  return Plotly.react(place, lines, layout, { displayModeBar: false, responsive: true });
}

// Buttons that show and hide lines; `hidden` holds the names of those that are hidden.
export function legend(place, names, hidden, changed) {
  place.replaceChildren(...names.map((name, number) => {
    const { color, dash } = lineStyle(number);
    const button = element("button", undefined, { type: "button", "aria-pressed": !hidden.has(name) });
    const kind = { solid: "solid", dash: "dashed", dot: "dotted", dashdot: "double" }[dash];
    button.append(element("span", undefined, { class: "swatch", style: `border-top: 3px ${kind} ${color}` }), element("span", name, { lang: "ko" }));
    button.addEventListener("click", () => {
      if (!hidden.delete(name)) hidden.add(name);
      legend(place, names, hidden, changed);
      place.querySelectorAll("button")[number].focus();
      changed();
    });
    const item = element("li");
    item.append(button);
    return item;
  }));
  place.hidden = names.length < 2;
}

// Draws again in the other colours when the scheme changes.
export function onScheme(draw) {
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
}
