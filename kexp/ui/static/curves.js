// Learning curves of one or more runs, of which new points come while the runs go on.
import { element } from "./page.js";
import { legend, lineStyle, onScheme, plot } from "./plots.js";

const NO_METRICS = ["epoch", "train_loss", "cross_entropy"];

// `titles` and `groups` name runs by key. Runs of a group have one colour; their mean is drawn where they have the same
// epochs. Returns the function that takes the points of an event.
export function curves(place, titles, groups) {
  const select = place.querySelector("#metric");
  const runs = new Map();
  const hidden = new Set();
  const names = [...new Set(Object.values(groups))];

  const draw = () => {
    for (const one of place.querySelectorAll(".plot")) {
      const curve = one.dataset.curve === "metric" ? select.value : one.dataset.curve;
      plot(one, lines(curve), { x: "epoch" });
    }
  };

  function lines(curve) {
    return names.flatMap((group, number) => {
      if (hidden.has(group)) return [];
      const keys = Object.keys(titles).filter((key) => groups[key] === group && runs.has(key));
      const style = lineStyle(number);
      const drawn = keys.map((key) => {
        const part = curve === "loss" ? runs.get(key).steps : runs.get(key).evaluations;
        return { x: part.epoch ?? [], y: part[curve] ?? [], name: titles[key] };
      });
      const mean = meanOf(drawn);
      const few = (line) => (line.x.length > 40 ? "lines" : "lines+markers");
      return [
        ...drawn.map((line) => ({ ...line, mode: few(line), line: { ...style, width: mean ? 1 : 2 }, opacity: mean ? 0.45 : 1 })),
        ...(mean ? [{ ...mean, name: `${group}, mean`, mode: few(mean), line: { ...style, width: 3 } }] : []),
      ];
    });
  }

  select.addEventListener("change", draw);
  onScheme(draw);
  legend(document.getElementById("legend"), names, hidden, draw);

  return ({ run, reset, steps, evaluations }) => {
    if (reset || !runs.has(run)) runs.set(run, { steps: {}, evaluations: {} });
    for (const [part, more] of [["steps", steps], ["evaluations", evaluations]]) append(runs.get(run)[part], more);
    for (const name of Object.keys(runs.get(run).evaluations)) {
      const known = [...select.options].some((option) => option.value === name);
      if (known || NO_METRICS.includes(name)) continue;
      select.append(element("option", name, { value: name }));
      if (name === place.dataset.monitor) select.value = name;
    }
    draw();
  };
}

// Columns may come that were not there before, or stay away.
function append(known, more) {
  const [before, count] = [known.epoch?.length ?? 0, more.epoch.length];
  if (!count) return;
  for (const name of new Set([...Object.keys(known), ...Object.keys(more)])) {
    const column = known[name] ?? Array(before).fill(null);
    known[name] = column.concat(more[name] ?? Array(count).fill(null));
  }
}

function meanOf(lines) {
  if (lines.length < 2 || !lines[0].x.length) return null;
  const alike = lines.every((line) => line.y.length === line.x.length && String(line.x) === String(lines[0].x));
  if (!alike) return null;
  const y = lines[0].x.map((_, at) => {
    const values = lines.map((line) => line.y[at]);
    return values.some((value) => value === null) ? null : values.reduce((a, b) => a + b, 0) / values.length;
  });
  return { x: lines[0].x, y };
}
