// Tables that are sorted by a column. Every body of the table is moved as a whole, by the first of its rows.

function order(x, y) {
  // Rows without a value come last in either order.
  if (!x || !y) return x ? -1 : y ? 1 : 0;
  return isNaN(x) || isNaN(y) ? x.localeCompare(y, "ko", { numeric: true }) : x - y;
}

export function sort(table, column, down) {
  const value = (body) => body.rows[0].cells[column].dataset.value ?? "";
  const bodies = [...table.tBodies].sort((a, b) => {
    const [x, y] = [value(a), value(b)];
    return x && y && down ? -order(x, y) : order(x, y);
  });
  table.append(...bodies);
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head) => head.removeAttribute("aria-sort"));
  heads[column].setAttribute("aria-sort", down ? "descending" : "ascending");
}

export function makeSortable(table, sorted = () => {}) {
  table.tHead.querySelectorAll("th button").forEach((button) => {
    button.addEventListener("click", () => {
      const head = button.closest("th");
      const down = head.getAttribute("aria-sort") === "ascending";
      sort(table, head.cellIndex, down);
      sorted(head.cellIndex, down);
    });
  });
}
