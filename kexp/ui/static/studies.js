// The list of studies.
import "./page.js";
import { makeSortable } from "./tables.js";

document.querySelectorAll("table.sortable").forEach((table) => makeSortable(table));
