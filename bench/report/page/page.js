// Glue between the data of the page, Plotly and DataTables. Text from records goes through textContent or plain().
const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const ALL = "";
const PUBLISHED = "top1_published";

// Plotly interprets some tags in its strings; text from records must not contain any.
const plain = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const family = (name) => data.families[name] ?? data.families[""];
const machineOf = (point) => data.machines.find((one) => one.name === point.machine);
let chosen = null;

function fill(select, options) {
  select.replaceChildren(...options.map(([value, label]) => new Option(label, value)));
}

function distinct(values) {
  return [...new Set(values)];
}

function ranges() {
  return { machine: $("machine").value, policy: $("policy").value, px: $("px").value };
}

function within(point, range) {
  return (range.machine === ALL || point.machine === range.machine)
    && (range.policy === ALL || point.policy === range.policy || point.policy === "")
    && (range.px === ALL || String(point.px) === range.px);
}

function shown() {
  const [x, y, range] = [$("x-axis").value, $("y-axis").value, ranges()];
  return data.points.filter((point) => within(point, range) && point.values[x] && point.values[y]);
}

// Error bars reach from the value to the ends of its interval.
function bars(points, key) {
  const ends = points.map((point) => point.values[key]);
  const visible = ends.some((one) => one.low !== undefined);
  return {
    type: "data", symmetric: false, visible, thickness: 1.2, width: 0,
    array: ends.map((one) => (one.high === undefined ? 0 : one.high - one.value)),
    arrayminus: ends.map((one) => (one.low === undefined ? 0 : one.value - one.low)),
  };
}

function hover(point, keys) {
  const machine = machineOf(point);
  const lines = keys.map((key) => {
    const found = point.values[key];
    const how = found.published ? ", published" : found.rounds ? `, ${found.rounds} values` : "";
    return `${plain(data.axes[key].label)}: ${plain(found.text)}${how}`;
  });
  const versions = Object.entries(machine.versions).slice(0, 3).map(([name, version]) => `${name} ${version}`).join(", ");
  return [`<b>${plain(point.model)}</b>`, ...lines, plain([point.policy, `${point.px} px`].filter(Boolean).join(", ")),
    plain(`${machine.name}: ${machine.device}`), plain(versions)].join("<br>");
}

// The measured points that no other one beats in both directions.
function front(points, x, y) {
  const sign = (key) => (data.axes[key].better === "lower" ? 1 : -1);
  const of = (point, key) => sign(key) * point.values[key].value;
  const ordered = points.filter((point) => !point.values[x].published && !point.values[y].published)
    .sort((a, b) => of(a, x) - of(b, x) || of(a, y) - of(b, y));
  const found = [];
  for (const point of ordered) if (!found.length || of(point, y) < of(found.at(-1), y)) found.push(point);
  return found;
}

function logarithmic(values) {
  const low = Math.min(...values);
  return low > 0 && Math.max(...values) / low >= 4;
}

function draw() {
  const [x, y] = [$("x-axis").value, $("y-axis").value];
  const points = shown();
  const traces = distinct(points.map((point) => point.family)).map((name) => {
    const mine = points.filter((point) => point.family === name);
    const hollow = (point) => point.values[x].published || point.values[y].published;
    const { label, colour: shade, symbol } = family(name);
    return {
      type: "scatter", mode: "markers+text", name: plain(data.families[name] ? label : name), legendgroup: plain(name), showlegend: false,
      x: mine.map((point) => point.values[x].value), y: mine.map((point) => point.values[y].value),
      error_x: { ...bars(mine, x), color: shade }, error_y: { ...bars(mine, y), color: shade },
      text: mine.map((point) => plain(point.model)), textposition: "top right", textfont: { size: 11, color: colour("--ink") },
      hovertext: mine.map((point) => hover(point, distinct([x, y]))), hoverinfo: "text", customdata: mine.map((point) => point.id),
      marker: {
        color: mine.map((point) => (hollow(point) ? colour("--paper") : shade)), symbol, size: 10,
        line: { color: mine.map((point) => (point.id === chosen ? colour("--ink") : shade)), width: mine.map((point) => (point.id === chosen ? 4 : 1.8)) },
      },
    };
  });
  // The legend gets traces of its own; otherwise it would show a chosen or hollow point.
  for (const trace of [...traces]) {
    const { color: shade } = trace.error_x;
    traces.push({
      type: "scatter", mode: "markers", name: trace.name, legendgroup: trace.legendgroup, x: [null], y: [null], hoverinfo: "skip",
      marker: { symbol: trace.marker.symbol, color: shade, size: 10 },
    });
  }
  const steps = x === y ? [] : front(points, x, y);
  if (steps.length > 1) {
    traces.unshift({
      type: "scatter", mode: "lines", name: "front", hoverinfo: "skip", x: steps.map((point) => point.values[x].value),
      y: steps.map((point) => point.values[y].value), line: { color: colour("--soft"), dash: "dash", width: 1, shape: "hv" },
    });
  }
  const axis = (key, values) => ({
    title: { text: plain(`${data.axes[key].label} (${{ lower: "less is better", higher: "more is better" }[data.axes[key].better] ?? ""})`) },
    type: logarithmic(values) ? "log" : "linear", gridcolor: colour("--line"), zeroline: false, automargin: true,
    ...(logarithmic(values) ? { dtick: "D2", tickformat: "~g" } : {}),
  });
  Plotly.react("plot", traces, {
    xaxis: axis(x, points.map((point) => point.values[x].value)), yaxis: axis(y, points.map((point) => point.values[y].value)),
    paper_bgcolor: colour("--paper"), plot_bgcolor: colour("--paper"), font: { color: colour("--ink") },
    margin: { l: 60, r: 20, t: 10, b: 50 }, hovermode: "closest", showlegend: true, legend: { orientation: "h", y: 1.02, yanchor: "bottom" },
    hoverlabel: { align: "left" },
  }, { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d"] });
  const published = points.filter((point) => point.values[x].published || point.values[y].published).length;
  const caveats = distinct(points.map((point) => point.values[y].caveat ?? point.values[x].caveat).filter(Boolean));
  $("plot-note").textContent = points.length
    ? [`${points.length} points`, published ? `${published} of them hollow: published, not measured here` : "", ...caveats].filter(Boolean).join("; ")
    : "No point has both quantities with these menus; choose another axis, policy or size.";
}

// Hide the later one of two names that would overlap; hovering still shows it.
function thinLabels() {
  const taken = [];
  for (const label of document.querySelectorAll("#plot .textpoint text")) {
    label.style.visibility = "";
    const box = label.getBoundingClientRect();
    const hit = taken.some((other) => box.left < other.right && other.left < box.right && box.top < other.bottom && other.top < box.bottom);
    if (hit) label.style.visibility = "hidden";
    else taken.push(box);
  }
}

function row(term, text, tag = "span") {
  const line = document.createElement("tr");
  const [name, value] = [document.createElement("td"), document.createElement("td")];
  name.textContent = term;
  const inside = document.createElement(tag);
  inside.textContent = text;
  value.append(inside);
  line.append(name, value);
  return line;
}

function open(id) {
  chosen = id;
  const point = data.points[id];
  const machine = machineOf(point);
  $("record").hidden = false;
  $("record-title").textContent = `${point.model}, ${[point.policy, `${point.px} px`, point.machine].filter(Boolean).join(", ")}`;
  const table = document.createElement("table");
  for (const [key, axis] of Object.entries(data.axes)) {
    const found = point.values[key];
    if (found) table.append(row(axis.label, found.text + (found.published ? ` (published; ${found.source})` : found.rounds ? ` (${found.rounds} values)` : "")));
    else if (point.missing[key]) table.append(row(axis.label, point.missing[key], "code"));
  }
  for (const text of point.trouble) table.append(row("trouble", text));
  table.append(row("device", `${machine.device}; ${machine.cpu}, ${machine.cores} cores, ${machine.memory}`));
  table.append(row("versions", Object.entries(machine.versions).map((pair) => pair.join(" ")).join(", ")));
  table.append(row("settings", Object.entries(machine.settings).map((pair) => pair.join(" ")).join(", ")));
  table.append(row("records", point.records.join(", ") || "accuracy only"));
  $("record-body").replaceChildren(table);
  const sampled = Object.keys(point.values).filter((key) => point.values[key].samples?.length > 1);
  fill($("sampled"), sampled.map((key) => [key, data.axes[key].label]));
  $("sampled").closest("label").hidden = !sampled.length;
  histogram();
  for (const line of document.querySelectorAll("#rows tbody tr")) line.classList.toggle("chosen", Number(line.dataset.id) === id);
  draw();
}

function histogram() {
  const key = $("sampled").value;
  if (!key || chosen === null) { Plotly.purge("histogram"); return; }
  const { samples } = data.points[chosen].values[key];
  Plotly.react("histogram", [{ type: "histogram", x: samples, marker: { color: family(data.points[chosen].family).colour } }], {
    xaxis: { title: { text: plain(data.axes[key].label) }, gridcolor: colour("--line") },
    yaxis: { title: { text: "rounds" }, gridcolor: colour("--line") }, margin: { l: 50, r: 10, t: 10, b: 45 }, bargap: 0.05,
    paper_bgcolor: colour("--paper"), plot_bgcolor: colour("--paper"), font: { color: colour("--ink") },
  }, { responsive: true, displayModeBar: false });
}

function theme(dark) {
  document.documentElement.classList.toggle("dark", dark);
  $("theme").setAttribute("aria-pressed", String(dark));
  $("theme").textContent = dark ? "Light" : "Dark";
  draw();
  histogram();
}

// Begin with the axes, machine, policy and size that have the most points, and with measured
// accuracies in a tie. Handwritten kernels run only some models, so they are never the first view.
function begin() {
  const axes = Object.entries(data.axes).map(([key, axis]) => [key, axis.label]);
  fill($("x-axis"), axes);
  fill($("y-axis"), axes);
  fill($("machine"), [...data.machines.map((one) => [one.name, one.name]), ...(data.machines.length > 1 ? [[ALL, "all, side by side"]] : [])]);
  fill($("policy"), [...distinct(data.points.map((one) => one.policy).filter(Boolean)).map((one) => [one, one]), [ALL, "all"]]);
  fill($("px"), [...distinct(data.points.map((one) => one.px)).sort((a, b) => b - a).map((one) => [one, `${one} px`]), [ALL, "all"]]);
  const costs = Object.keys(data.axes).filter((key) => !key.startsWith("top1"));
  const scores = Object.keys(data.axes).filter((key) => key.startsWith("top1"));
  const wanted = { y: scores.length ? scores : costs, x: [...costs.filter((key) => key.startsWith("throughput")), ...costs] };
  const places = Map.groupBy(data.points.filter((one) => !one.handwritten), (one) => JSON.stringify([one.machine, one.policy, one.px]));
  let best = { points: -1 };
  for (const y of wanted.y) for (const x of wanted.x.slice(0, 3)) for (const found of places.values()) {
    const points = found.filter((one) => one.values[x] && one.values[y]).length;
    if (points > best.points) best = { points, x, y, place: found[0] };
  }
  if (!best.place) return;
  $("x-axis").value = best.x;
  $("y-axis").value = best.y;
  $("machine").value = best.place.machine;
  $("policy").value = best.place.policy || ALL;
  $("px").value = String(best.place.px);
}

begin();
const table = new DataTable("#rows", { paging: data.points.length > 60, pageLength: 50, order: [], autoWidth: false });
table.search.fixed("menus", (text, cells, index) => within(data.points[Number(table.row(index).node().dataset.id)], ranges()));
table.draw();
for (const id of ["x-axis", "y-axis", "machine", "policy", "px"]) {
  $(id).addEventListener("change", () => { draw(); table.draw(); });
}
$("menus").addEventListener("submit", (event) => event.preventDefault());
$("sampled").addEventListener("change", histogram);
$("theme").addEventListener("click", () => theme(!document.documentElement.classList.contains("dark")));
for (const kind of ["click", "keydown"]) {
  document.querySelector("#rows tbody").addEventListener(kind, (event) => {
    const line = event.target.closest("tr[data-id]");
    if (!line || (kind === "keydown" && event.key !== "Enter")) return;
    open(Number(line.dataset.id));
    if (kind === "keydown") $("record").focus();
  });
}
theme(matchMedia("(prefers-color-scheme: dark)").matches);
$("plot").on("plotly_afterplot", thinLabels);
$("plot").on("plotly_click", (event) => {
  const id = event.points[0].customdata;
  if (id !== undefined) open(id);
});
thinLabels();
document.documentElement.dataset.ready = "yes";
