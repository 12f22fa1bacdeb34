// The record of a chosen row, over the page and on the side away from the click.
function line(term, text, tag = "span") {
  const row = document.createElement("tr");
  const [name, value] = [document.createElement("th"), document.createElement("td")];
  name.textContent = term;
  name.scope = "row";
  const inside = document.createElement(tag);
  inside.textContent = text;
  value.append(inside);
  row.append(name, value);
  return row;
}

function open(point, click = null) {
  view.row = nameOf(point);
  $("record").hidden = false;
  if (click) {
    $("record").classList.toggle("left", click.clientX > innerWidth / 2);
    $("record").classList.toggle("top", click.clientY > innerHeight / 2);
  }
  $("record-title").textContent = point.model;
  $("record-where").textContent = [point.policy, `${point.px} px`, point.machine].filter(Boolean).join(", ");
  $("record-body").replaceChildren(recordTable(point));
  $("record").scrollTop = 0;
  const sampled = Object.keys(point.values).filter((key) => point.values[key].samples?.length > 1);
  $("sampled").replaceChildren(...sampled.map((key) => new Option(data.axes[key].label, key)));
  $("samples").hidden = !sampled.length;
  histogram();
  update();
}

function recordTable(point) {
  const machine = machineOf(point);
  const table = document.createElement("table");
  if (point.spec) table.append(line("measured as", point.spec, "code"));
  for (const text of point.trouble) table.append(line("trouble", text));
  for (const { px, line: text } of machine.grades) if (px === point.px) table.append(line("can these speeds be used?", text));
  for (const [key, axis] of Object.entries(data.axes)) {
    const found = point.values[key];
    if (found) table.append(line(axis.label, found.text + (found.published ? ` (published by others; ${found.source})` : found.rounds ? ` (${found.rounds} values)` : "")));
  }
  for (const [key, command] of Object.entries(point.missing)) table.append(line(`${data.axes[key].label}: not measured`, command, "code"));
  const pairs = (named) => Object.entries(named).map((pair) => pair.join(" ")).join(", ");
  table.append(line("device", `${machine.device}; ${machine.cpu}, ${machine.cores} cores, ${machine.memory}`));
  table.append(line("versions", pairs(machine.versions)), line("settings", pairs(machine.settings)));
  table.append(line("records", point.records.join(", ") || "accuracy only"));
  return table;
}

function close() {
  const point = data.points.find((one) => nameOf(one) === view.row);
  $("record").hidden = true;
  view.row = null;
  Plotly.purge("histogram");
  update();
  if (point) document.querySelector(`#rows tr[data-id="${point.id}"]`)?.focus({ preventScroll: true });
}

function histogram() {
  const point = data.points.find((one) => nameOf(one) === view.row);
  const key = $("sampled").value;
  if (!key || !point || $("record").hidden) { Plotly.purge("histogram"); return; }
  Plotly.react("histogram", [{ type: "histogram", x: point.values[key].samples, marker: { color: shadeOf(point.family) } }], {
    xaxis: { title: { text: wrapped(data.axes[key].label, 40) }, gridcolor: colour("--line") },
    yaxis: { title: { text: "rounds" }, gridcolor: colour("--line") }, margin: { l: 50, r: 10, t: 10, b: 45 }, bargap: 0.05,
    paper_bgcolor: colour("--paper"), plot_bgcolor: colour("--paper"), font: { color: colour("--ink") },
  }, { responsive: true, displayModeBar: false });
}
