// The table: its search, menus and limits decide what the plot shows as well.
const keys = [...document.querySelectorAll("#rows thead th")].map((head) => head.dataset.key);

// Sort values by number, and put rows without one last in both directions.
const numbered = (sign) => (one, other) => (one === "" || other === "" ? (one === "") - (other === "") : sign * (one - other));
DataTable.ext.type.order["value-asc"] = numbered(1);
DataTable.ext.type.order["value-desc"] = numbered(-1);

// The first click on a column sorts its best first.
const table = new DataTable("#rows", {
  paging: data.points.length > 60, pageLength: 50, order: [], autoWidth: false,
  language: { search: "Search models, families, policies: ", info: "_TOTAL_ of _MAX_ rows", infoFiltered: "", infoEmpty: "no rows" },
  columnDefs: keys.map((key, target) => {
    const value = data.axes[key];
    return { target, targets: target, searchable: !value, ...(value || key === "px" ? { type: "value" } : {}), orderSequence: value?.better === "higher" ? ["desc", "asc"] : ["asc", "desc"] };
  }),
});
table.search.fixed("view", (text, cells, index) => within(data.points[pointAt(index)]));

function pointAt(index) {
  return Number(table.row(index).node().dataset.id);
}

// The points that menus, limits and search leave, in the order of the table.
function shown() {
  return table.rows({ search: "applied", order: "applied" }).indexes().toArray().map((index) => data.points[pointAt(index)]);
}

// Unless columns were chosen: those in which the shown rows differ, or have any value.
function neededColumns(points) {
  return keys.filter((key) => {
    if (key === "model") return true;
    if (data.axes[key]) return points.some((point) => point.values[key]);
    return view[key] === ALL || distinct(points.map((point) => point[key])).length > 1;
  });
}

function showColumns(points) {
  const wanted = new Set(view.columns ?? neededColumns(points));
  for (const [place, key] of keys.entries()) {
    if (table.column(place).visible() !== wanted.has(key)) table.column(place).visible(wanted.has(key), false);
  }
  for (const box of document.querySelectorAll("#columns input")) box.checked = wanted.has(box.value);
}

function fillColumns() {
  for (const [place, key] of keys.entries()) {
    if (key === "model") continue;
    const [label, box] = [document.createElement("label"), document.createElement("input")];
    Object.assign(box, { type: "checkbox", value: key });
    label.append(box, ` ${table.column(place).header().innerText.trim() || key}`);
    $("columns").append(label);
  }
}

function markChosen() {
  for (const line of table.rows().nodes().toArray()) line.classList.toggle("chosen", nameOf(data.points[Number(line.dataset.id)]) === view.row);
}

// A quote before whatever a spreadsheet would take for a formula.
function csvCell(value) {
  const text = typeof value === "string" && /^[\s\u200b-\u200d\u2060\ufeff]*[=+\-@\uff1d\uff0b\uff0d\uff20]/.test(value) ? `'${value}` : String(value ?? "");
  return /[",;\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

// Return the shown rows and columns as CSV: numbers in full, with the ends of intervals and ranges.
function csvText() {
  const chosen = keys.filter((key, place) => table.column(place).visible());
  const heads = chosen.flatMap((key) => (data.axes[key] ? [data.axes[key].label, `${data.axes[key].label}, low`, `${data.axes[key].label}, high`] : [key]));
  const lines = shown().map((point) => chosen.flatMap((key) => {
    if (!data.axes[key]) return [point[key]];
    const { value, low, high, published } = point.values[key] ?? {};
    return [published && low !== high ? "" : value, low, high];
  }));
  return [heads, ...lines].map((cells) => cells.map(csvCell).join(",")).join("\r\n") + "\r\n";
}

function download(name, href) {
  const link = document.createElement("a");
  Object.assign(link, { download: name, href });
  link.click();
}

function downloadCsv() {
  const address = URL.createObjectURL(new Blob([csvText()], { type: "text/csv;charset=utf-8" }));
  download("convmixer-bench.csv", address);
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

async function downloadSvg() {
  const { width, height } = $("plot").getBoundingClientRect();
  download("convmixer-bench.svg", await Plotly.toImage("plot", { format: "svg", width, height }));
}
