// The comparison of runs, whose curves grow while they go on.
import { curves } from "./curves.js";
import { listen, showTrouble } from "./page.js";

const place = document.getElementById("curves");
const titles = JSON.parse(place.dataset.titles);
const query = new URLSearchParams(Object.keys(titles).map((key) => ["run", key]));
const take = curves(place, titles, JSON.parse(place.dataset.groups));
listen(() => `/events/curves?${query}`, { curves: take, trouble: showTrouble });
