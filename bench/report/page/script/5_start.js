// Events, and the first view.
const NEXT = { params: ["parameters at most", "M"], latency: ["latency at most", "ms"], top1: ["top-1 at least", "%"] };
const short = (value) => String(Number(value.toPrecision(4)));

// The values that a limit can take: those of the points under the menus, so that every step changes something.
function stepsOf(limit) {
  const axis = limitAxis(limit);
  const points = data.points.filter((point) => ["machine", "policy", "px"].every((menu) => fits(point, menu)));
  return distinct(points.map((point) => point.values[axis]?.value).filter((value) => value !== undefined)).sort((a, b) => a - b);
}

// A top-1 slider has "any" at its left end, the others at their right end.
function fillLimits() {
  for (const limit of LIMITS) {
    const steps = limitAxis(limit) ? stepsOf(limit) : [];
    const end = view.limits[limit];
    $(limit).closest("label").hidden = steps.length < 2 && end === undefined;
    $(limit).max = steps.length;
    const place = limit === "top1" ? steps.findIndex((value) => value >= end) : steps.findLastIndex((value) => value <= end);
    $(limit).value = end === undefined ? (limit === "top1" ? 0 : steps.length) : limit === "top1" ? (place < 0 ? steps.length : place + 1) : Math.max(place, 0);
    const [name, unit] = NEXT[limit];
    const text = end === undefined ? "any" : `${short(end)} ${unit}`;
    $(`${limit}-name`).textContent = limit === "top1" ? `${limitAxis(limit) === PUBLISHED ? "published " : ""}${name}` : name;
    $(`${limit}-end`).textContent = text;
    $(limit).setAttribute("aria-valuetext", text);
  }
}

function moveLimit(limit) {
  const [steps, place] = [stepsOf(limit), Number($(limit).value)];
  const value = limit === "top1" ? steps[place - 1] : steps[place];
  if (value === undefined) delete view.limits[limit];
  else view.limits[limit] = value;
  refresh();
}

// Say of every shown machine whether its speeds can be used, at the shown size where sizes differ.
function grades() {
  const names = distinct(data.points.filter((point) => fits(point, "machine")).map((point) => point.machine));
  $("grade").replaceChildren(...names.flatMap((name) => {
    const { grades: found } = data.machines.find((one) => one.name === name);
    const lines = found.filter((one) => view.px === ALL || String(one.px) === view.px);
    return lines.map(({ px, line: text, severity }) => {
      const item = document.createElement("p");
      item.textContent = [names.length > 1 ? name : "", lines.length > 1 ? `${px} px` : "", text].filter(Boolean).join(": ");
      item.classList.toggle("bad", severity > 1);
      return item;
    });
  }));
}

// Show the view in menus, table, plot and address.
function refresh() {
  fillMenus();
  fillLimits();
  grades();
  table.draw();
}

function update() {
  const points = shown();
  const [order] = table.order();
  view.sort = order && order[1] ? [keys[order[0]], order[1]] : null;
  view.search = table.search();
  showColumns(points);
  markChosen();
  draw(points);
  history.replaceState(null, "", toAddress());
}

function restore() {
  view = fromAddress(location.hash);
  const { search, sort, row } = view;
  fillMenus();
  $("address-note").textContent = lacking();
  table.search(search);
  const place = keys.indexOf(sort?.[0]);
  table.order(place >= 0 ? [[place, sort[1]]] : []);
  refresh();
  const point = data.points.find((one) => nameOf(one) === row);
  if (point) open(point);
  else if (!$("record").hidden) close();
}

function theme(dark) {
  document.documentElement.classList.toggle("dark", dark);
  $("theme").setAttribute("aria-pressed", String(dark));
  $("theme").textContent = dark ? "Light" : "Dark";
}

theme(matchMedia("(prefers-color-scheme: dark)").matches);
fillColumns();
table.on("draw", update);
restore();
for (const menu of MENUS) $(menu).addEventListener("change", () => { view[menu] = $(menu).value; refresh(); });
for (const limit of LIMITS) $(limit).addEventListener("input", () => moveLimit(limit));
$("menus").addEventListener("submit", (event) => event.preventDefault());
$("sampled").addEventListener("change", histogram);
$("theme").addEventListener("click", () => { theme(!document.documentElement.classList.contains("dark")); update(); histogram(); });
$("columns").addEventListener("change", () => {
  const chosen = [...document.querySelectorAll("#columns input:checked")].map((box) => box.value);
  view.columns = ["model", ...chosen];
  update();
});
$("columns-usual").addEventListener("click", () => { view.columns = null; update(); });
$("csv").addEventListener("click", downloadCsv);
$("svg").addEventListener("click", downloadSvg);
$("close").addEventListener("click", close);
$("reset").addEventListener("click", () => { location.hash = ""; restore(); });
document.addEventListener("keydown", (event) => { if (event.key === "Escape" && !$("record").hidden) close(); });
addEventListener("hashchange", restore);
for (const kind of ["click", "keydown"]) {
  document.querySelector("#rows tbody").addEventListener(kind, (event) => {
    const row = event.target.closest("tr[data-id]");
    if (!row || (kind === "keydown" && event.key !== "Enter")) return;
    open(data.points[Number(row.dataset.id)], kind === "click" ? event : row.getBoundingClientRect());
    if (kind === "keydown") $("record").focus();
  });
}
$("plot").on("plotly_click", (event) => {
  const id = event.points[0].customdata;
  if (id !== undefined) open(data.points[id], event.event);
});
for (const kind of ["plotly_relayout", "plotly_afterplot"]) $("plot").on(kind, () => requestAnimationFrame(() => relabel()));
document.documentElement.dataset.ready = "yes";
