// The plot: measured points filled with their intervals, published values as hollow ranges.

// Plotly interprets some tags in its strings; text from records must not contain any.
const plain = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const family = (name) => data.families[name] ?? data.families[""];
const better = (key) => ({ lower: " (less is better)", higher: " (more is better)" })[data.axes[key].better] ?? "";

// Return the relative luminance of a colour such as #09f or #0099ff (WCAG 2).
function luminance(hex) {
  const long = hex.length === 4 ? hex.replace(/[^#]/g, "$&$&") : hex;
  const [red, green, blue] = [1, 3, 5].map((at) => Number.parseInt(long.slice(at, at + 2), 16) / 255)
    .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function contrast(one, other) {
  const [high, low] = [luminance(one), luminance(other)].sort((a, b) => b - a);
  return (high + 0.05) / (low + 0.05);
}

// Return a family's colour, or the colour of text where it would not show on the paper.
function shadeOf(name) {
  const { colour: shade } = family(name);
  return contrast(shade, colour("--paper")) < 2.5 ? colour("--ink") : shade;
}

// Return both ends of a published range, or the one measured value.
function endsOf(found) {
  return found.published && found.low < found.high ? [found.high, found.low] : [found.value];
}

// Pixels of a letter of a hover label, at most on average.
const LETTER = 7.5;

// Return text in lines of half the plot's width: wherever the point is, its label fits on one side.
function folded(text) {
  const room = Math.max(20, Math.floor((document.getElementById("plot").clientWidth / 2 - 20) / LETTER));
  const lines = [""];
  for (const word of text.split(" ")) {
    const last = lines[lines.length - 1];
    if (!last) lines[lines.length - 1] = word;
    else if (last.length + 1 + word.length <= room) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines.join("<br>");
}

function hover(point, keys) {
  const machine = machineOf(point);
  const lines = keys.map((key) => {
    const found = point.values[key];
    const how = found.published ? ", published by others" : found.rounds ? `, ${found.rounds} values` : "";
    return `${plain(data.axes[key].label)}: ${plain(found.text)}${how}`;
  });
  const versions = ["torch", "timm"].filter((name) => machine.versions[name]).map((name) => `${name} ${machine.versions[name]}`);
  const where = [[point.policy, `${point.px} px`].filter(Boolean).join(", "), `${machine.name}: ${machine.device}`, versions.join(", ")];
  return [`<b>${plain(point.model)}</b>`, ...[...lines, ...where.map(plain)].map(folded)].join("<br>");
}

// Return one mark per point, or two for the ends of a published range; intervals stand at the first.
function marksOf(points, x, y) {
  const marks = [];
  for (const point of points) {
    const [xs, ys] = [endsOf(point.values[x]), endsOf(point.values[y])];
    for (let at = 0; at < Math.max(xs.length, ys.length); at += 1) {
      marks.push({ point, x: xs[Math.min(at, xs.length - 1)], y: ys[Math.min(at, ys.length - 1)], first: at === 0 });
    }
  }
  return marks;
}

const reach = (found, end) => (found.published || found[end] === undefined ? 0 : Math.abs(found[end] - found.value));

function errorBars(marks, key, shade) {
  const array = marks.map(({ point, first }) => (first ? reach(point.values[key], "high") : 0));
  const arrayminus = marks.map(({ point, first }) => (first ? reach(point.values[key], "low") : 0));
  return { type: "data", symmetric: false, visible: [...array, ...arrayminus].some(Boolean), thickness: 1.2, width: 0, array, arrayminus, color: shade };
}

const hollow = (point, x, y) => point.values[x].published || point.values[y].published;

function familyTraces(name, points, x, y) {
  const shade = shadeOf(name);
  const marks = marksOf(points, x, y);
  const { label, symbol } = family(name);
  const shown = { name: plain(data.families[name] ? label : name), legendgroup: plain(name), showlegend: false, type: "scatter" };
  const chosen = (point) => nameOf(point) === view.row;
  return [...rangeLines(marks, x, y).map(({ dash, ...ends }) => ({ ...shown, ...ends, mode: "lines", hoverinfo: "skip", line: { color: shade, width: 2, dash } })), {
    ...shown, mode: "markers", x: marks.map((one) => one.x), y: marks.map((one) => one.y), cliponaxis: false,
    error_x: errorBars(marks, x, shade), error_y: errorBars(marks, y, shade),
    hovertext: marks.map(({ point }) => hover(point, distinct([y, x]))), hoverinfo: "text", customdata: marks.map(({ point }) => point.id),
    marker: {
      color: marks.map(({ point }) => (hollow(point, x, y) ? colour("--paper") : shade)), symbol, size: 10, opacity: 1,
      line: { color: marks.map(({ point }) => (chosen(point) ? colour("--ink") : shade)), width: marks.map(({ point }) => (chosen(point) ? 4 : 1.8)) },
    },
  }];
}

// Lines between both ends of published ranges; dotted if more data or a teacher was used.
function rangeLines(marks, x, y) {
  const lines = {};
  for (const [at, mark] of marks.entries()) {
    if (mark.first) continue;
    const found = mark.point.values[y].published ? mark.point.values[y] : mark.point.values[x];
    const dash = found.plain ? "solid" : "dot";
    lines[dash] ??= { dash, x: [], y: [] };
    lines[dash].x.push(marks[at - 1].x, mark.x, null);
    lines[dash].y.push(marks[at - 1].y, mark.y, null);
  }
  return Object.values(lines);
}

// True of models whose count was made equal on purpose: a front over it would rank nothing.
function matched(points, key) {
  if (!["params", "macs"].includes(key)) return false;
  const values = points.map((point) => point.values[key].value);
  return Math.max(...values) - Math.min(...values) <= 0.05 * (Math.max(...values) + Math.min(...values));
}

// Return the measured points that no other one beats in both directions.
function front(points, x, y) {
  if (x === y || [x, y].some((key) => matched(points, key))) return [];
  const sign = (key) => (data.axes[key].better === "lower" ? 1 : -1);
  const of = (point, key) => sign(key) * point.values[key].value;
  const ordered = points.filter((point) => !hollow(point, x, y)).sort((a, b) => of(a, x) - of(b, x) || of(a, y) - of(b, y));
  const found = [];
  for (const point of ordered) if (!found.length || of(point, y) < of(found.at(-1), y)) found.push(point);
  return found.length > 1 ? found : [];
}

// Shares, such as accuracies, are never on a logarithmic axis.
function logarithmic(key, marks, side) {
  const values = marks.map((mark) => mark[side]);
  return data.axes[key].unit !== "%" && Math.min(...values) > 0 && Math.max(...values) / Math.min(...values) >= 4;
}

// Break a title into lines of at most so many characters.
function wrapped(text, most) {
  const lines = [""];
  for (const word of text.split(" ")) {
    if (lines.at(-1) && lines.at(-1).length + word.length >= most) lines.push(word);
    else lines[lines.length - 1] += (lines.at(-1) ? " " : "") + word;
  }
  return lines.map(plain).join("<br>");
}

function axisOf(key, marks, side, pixels) {
  const log = logarithmic(key, marks, side);
  return {
    title: { text: wrapped(data.axes[key].label + better(key), Math.max(20, pixels / 7.5)) }, gridcolor: colour("--line"), zeroline: false, automargin: true,
    type: log ? "log" : "linear", ...(log ? { dtick: "D2", tickformat: "~g" } : {}),
  };
}

const labelOf = (point) => (view.machine === ALL ? `${point.model} · ${point.machine}` : point.model);

function draw(points) {
  const { x, y } = view;
  const plotted = points.filter((point) => point.values[x] && point.values[y]);
  const marks = plotted.length ? marksOf(plotted, x, y) : [];
  const steps = plotted.length ? front(plotted, x, y) : [];
  const families = distinct(plotted.map((point) => point.family));
  const traces = families.flatMap((name) => familyTraces(name, plotted.filter((point) => point.family === name), x, y));
  // The legend gets traces of its own; otherwise it would show a chosen or hollow point.
  for (const name of families) {
    traces.push({
      type: "scatter", mode: "markers", name: plain(data.families[name] ? family(name).label : name), legendgroup: plain(name), x: [null], y: [null],
      hoverinfo: "skip", marker: { symbol: family(name).symbol, color: shadeOf(name), size: 10 },
    });
  }
  if (steps.length) {
    traces.unshift({
      type: "scatter", mode: "lines", name: "front", hoverinfo: "skip", x: steps.map((point) => point.values[x].value),
      y: steps.map((point) => point.values[y].value), line: { color: colour("--soft"), dash: "dash", width: 1, shape: "hv" },
    });
  }
  // Last, so that no line is drawn over a name.
  traces.push({
    type: "scatter", mode: "markers+text", marker: { size: LABEL.mark, opacity: 0 }, showlegend: false, hoverinfo: "skip", cliponaxis: false, x: plotted.map((point) => endsOf(point.values[x])[0]),
    y: plotted.map((point) => endsOf(point.values[y])[0]), text: plotted.map(() => NONE), textposition: plotted.map(() => SIDES[0]), textfont: { size: LABEL.size, color: colour("--ink") },
  });
  const box = $("plot").getBoundingClientRect();
  Plotly.react("plot", traces, {
    xaxis: axisOf(x, marks, "x", box.width - 90), yaxis: axisOf(y, marks, "y", box.height - 120), uirevision: MENUS.map((menu) => view[menu]).join(),
    paper_bgcolor: colour("--paper"), plot_bgcolor: colour("--paper"), font: { color: colour("--ink"), family: getComputedStyle(document.body).fontFamily },
    margin: { l: 60, r: 20, t: 10, b: 50 }, hovermode: "closest", hoverdistance: 60, showlegend: true, legend: { orientation: "h", y: 1.02, yanchor: "bottom" },
    hoverlabel: { align: "left" }, modebar: { orientation: "v" },
  }, { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d", "toImage"] });
  relabel = () => labelPoints(plotted, marks, steps);
  relabel();
  $("plot-note").textContent = noteOf(plotted, points.length);
}

// Place the names for the axes as they are now; again after a zoom or another size of the window.
function labelPoints(plotted, marks, steps) {
  const { xaxis, yaxis } = $("plot")._fullLayout;
  const at = (x, y) => [xaxis.d2p(x), yaxis.d2p(y)];
  const obstacles = marks.map((one) => { const [x, y] = at(one.x, one.y); return along([x, y], [x, y], 5); });
  for (const { x, y, point, first } of marks) {
    const [found, other] = [point.values[view.x], point.values[view.y]];
    if (!first) obstacles.push(along(at(...[view.x, view.y].map((key) => endsOf(point.values[key])[0])), at(x, y)));
    else if (!found.published && found.low !== undefined) obstacles.push(along(at(found.low, y), at(found.high, y)));
    if (first && !other.published && other.low !== undefined) obstacles.push(along(at(x, other.low), at(x, other.high)));
  }
  for (const [place, point] of steps.slice(1).entries()) {
    const [from, to] = [steps[place], point].map((one) => at(one.values[view.x].value, one.values[view.y].value));
    obstacles.push(along(from, [to[0], from[1]]), along([to[0], from[1]], to));
  }
  const labels = plotted.map((point) => {
    const [x, y] = at(endsOf(point.values[view.x])[0], endsOf(point.values[view.y])[0]);
    return { x, y, text: labelOf(point) };
  });
  const found = placed(labels, obstacles, { width: xaxis._length, height: yaxis._length });
  const text = found.map((one) => plain(one.text));
  const textposition = found.map((one) => one.side);
  const last = $("plot").data.length - 1;
  const before = $("plot").data[last];
  if (JSON.stringify([before.text, before.textposition]) !== JSON.stringify([text, textposition])) {
    Plotly.restyle("plot", { text: [text], textposition: [textposition] }, [last]);
  }
}
let relabel = () => {};

// Say how many points are shown, and which axis is published.
function noteOf(plotted, rows) {
  if (!rows) return "Nothing meets the menus, limits and search together.";
  if (!plotted.length) return "No row has both quantities with these menus; choose another axis, policy or size.";
  const said = [plotted.length === rows ? `${rows} points` : `${plotted.length} points; ${rows - plotted.length} of ${rows} rows lack one of the quantities`];
  const theirs = distinct([view.y, view.x]).filter((key) => plotted.some((point) => point.values[key].published));
  for (const key of theirs) {
    const where = key === view.y ? "y axis" : "x axis";
    said.push(`${where}: published by others, not measured here; each hollow range runs over the published weight sets (dotted: more data or a teacher)`);
  }
  if (theirs.length === 1 && view.x !== view.y) said.push(`${theirs[0] === view.y ? "x" : "y"} axis: measured here`);
  if (Object.keys(view.limits).length) said.push("a row whose value is unknown meets no limit; of a published range, the better end counts");
  return [...said, ...distinct(plotted.map((point) => point.values[view.y].caveat ?? point.values[view.x].caveat).filter(Boolean))].join("; ");
}
