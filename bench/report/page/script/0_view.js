// The view: which rows, axes and columns are shown. The address holds it, so a link reproduces it.
const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const ALL = "";
const PUBLISHED = "top1_published";
const TEXTS = ["model", "family", "machine", "policy", "px"];
const MENUS = ["machine", "policy", "px", "y", "x"];
const LIMITS = ["params", "latency", "top1"];

const distinct = (values) => [...new Set(values)];
const isTop1 = (key) => key.startsWith("top1");
const machineOf = (point) => data.machines.find((one) => one.name === point.machine);
const nameOf = (point) => [point.model, point.machine, point.policy, point.px].join(" / ");

// `columns` is null as long as the rows decide which columns are needed; `sort` is [column, direction].
let view = {};

function usual() {
  return { machine: ALL, policy: ALL, px: ALL, y: "", x: "", search: "", sort: null, limits: {}, columns: null, row: null };
}

// Begin with the best graded machine, and there with the axes, policy and size that have the most
// models. Handwritten kernels run only some models, so they are never the first view.
function firstView() {
  const axes = Object.keys(data.axes);
  const scores = axes.filter(isTop1);
  const costs = axes.filter((key) => !isTop1(key) && !key.startsWith("ratio"));
  const ys = scores.length ? scores : costs;
  const xs = distinct([...costs.filter((key) => key.startsWith("throughput")), ...costs]);
  let best = { rank: [] };
  for (const place of places()) for (const y of ys) for (const x of xs) {
    const models = place.points.filter((point) => point.values[x] && point.values[y]).length;
    const rank = [Math.min(models, 3), -place.severity, models];
    if (models && x !== y && later(rank, best.rank)) best = { rank, x, y, place };
  }
  const found = { ...usual(), y: ys[0] ?? "", x: xs[0] ?? "" };
  if (!best.place) return found;
  const { machine, policy, px } = best.place.points[0];
  return { ...found, x: best.x, y: best.y, machine, policy: policy || ALL, px: String(px) };
}

// Points of one machine, policy and size.
function places() {
  const found = new Map();
  for (const point of data.points.filter((one) => !one.handwritten)) {
    const key = JSON.stringify([point.machine, point.policy, point.px]);
    if (!found.has(key)) found.set(key, { points: [], severity: machineOf(point).grades.find((one) => one.px === point.px)?.severity ?? data.unchecked });
    found.get(key).points.push(point);
  }
  return [...found.values()];
}

// True if the first of two lists of numbers ranks before the second.
function later(one, other) {
  const at = one.findIndex((value, place) => value !== other[place]);
  return at >= 0 && (other[at] === undefined || one[at] > other[at]);
}

// What each menu offers: only what has something to show under the menus before it.
function offered(menu) {
  const before = MENUS.slice(0, MENUS.indexOf(menu));
  const left = data.points.filter((point) => before.every((one) => fits(point, one)));
  // A run that was stopped early may have left a machine with nothing but published values.
  const measured = left.filter((point) => Object.values(point.values).some((found) => !found.published));
  const shown = menu === "machine" && measured.length ? measured : left;
  const of = distinct(shown.map((point) => String(point[menu] ?? "")).filter(Boolean));
  if (menu === "machine") return [...of.map((one) => [one, one]), ...(of.length > 1 ? [[ALL, "all, side by side"]] : [])];
  if (menu === "policy") return [...of.map((one) => [one, one]), ...(of.length === 1 ? [] : [[ALL, "all"]])];
  if (menu === "px") return [...of.sort((a, b) => b - a).map((one) => [one, `${one} px`]), ...(of.length > 1 ? [[ALL, "all"]] : [])];
  return Object.entries(data.axes).filter(([key]) => left.some((point) => point.values[key])).map(([key, axis]) => [key, axis.label]);
}

function fits(point, menu) {
  if (menu === "y" || menu === "x") return true;
  // Accuracies have no policy, so they stand beside the speeds of every policy.
  return view[menu] === ALL || String(point[menu]) === view[menu] || (menu === "policy" && point.policy === "");
}

// Fill the menus, and replace what the machine, policy or size chosen before does not have.
function fillMenus() {
  for (const menu of MENUS) {
    const options = offered(menu);
    const values = options.map(([value]) => value);
    if (!values.includes(view[menu])) view[menu] = likeliest(menu, values);
    $(menu).replaceChildren(...options.map(([value, label]) => new Option(label, value)));
    $(menu).value = view[menu];
  }
}

function likeliest(menu, values) {
  if (menu === "y") return values.find(isTop1) ?? values[0] ?? "";
  if (menu === "x") return values.find((key) => key.startsWith("throughput")) ?? values.find((key) => key !== view.y) ?? values[0] ?? "";
  return values[0] ?? ALL;
}

// The axis of each limit: the top-1 is that of the plot, otherwise the published one.
function limitAxis(limit) {
  const axes = Object.keys(data.axes);
  if (limit !== "top1") return axes.find((key) => key.split("|")[0] === limit);
  return [view.y, view.x].find(isTop1) ?? axes.find((key) => key === PUBLISHED) ?? axes.find(isTop1);
}

// A value that is unknown meets no limit. Of a published range, the better end counts.
function meetsLimits(point) {
  return Object.entries(view.limits).every(([limit, end]) => {
    const found = point.values[limitAxis(limit)];
    return found !== undefined && (limit === "top1" ? found.value >= end : found.value <= end);
  });
}

const within = (point) => ["machine", "policy", "px"].every((menu) => fits(point, menu)) && meetsLimits(point);

function toAddress() {
  const said = new URLSearchParams();
  for (const menu of MENUS) said.set(menu, view[menu]);
  for (const [limit, end] of Object.entries(view.limits)) said.set(limit, end);
  if (view.search) said.set("search", view.search);
  if (view.sort) said.set("sort", view.sort.join(" "));
  for (const key of view.columns ?? []) said.append("column", key);
  if (view.row) said.set("row", view.row);
  return `#${said}`;
}

// Return the view of an address. What the address does not say, or this report does not have, is as usual.
function fromAddress(hash) {
  const said = new URLSearchParams(hash.replace(/^#/, ""));
  const found = firstView();
  if (![...said.keys()].length) return found;
  for (const menu of MENUS) if (said.has(menu)) found[menu] = said.get(menu);
  for (const limit of LIMITS) {
    const end = Number.parseFloat(said.get(limit));
    if (Number.isFinite(end)) found.limits[limit] = end;
  }
  found.search = said.get("search") ?? "";
  const [, key, direction] = said.get("sort")?.match(/^(.*) (asc|desc)$/) ?? [];
  if (key) found.sort = [key, direction];
  if (said.has("column")) found.columns = said.getAll("column");
  found.row = said.get("row");
  return found;
}

// What an address asks for and this report lacks, as text.
function lacking() {
  const said = new URLSearchParams(location.hash.replace(/^#/, ""));
  const gone = MENUS.filter((menu) => said.has(menu) && said.get(menu) !== view[menu]).map((menu) => `${menu} ${said.get(menu) || "all"}`);
  const row = said.get("row");
  if (row && !data.points.some((point) => nameOf(point) === row)) gone.push(`row ${row}`);
  return gone.length ? `The link asks for something that this report does not have: ${gone.join("; ")}` : "";
}
