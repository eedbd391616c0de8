// What the page can be asked. Without scripts it reads as well: this adds values under the pointer, sorting, and the
// explorer of pairs. Nothing is fetched.
"use strict";

const SVG = "http://www.w3.org/2000/svg";
const tip = document.getElementById("tip");

function make(name, attributes = {}, text = "") {
  const drawn = ["svg", "path", "circle", "rect", "text", "g"].includes(name);
  const element = drawn ? document.createElementNS(SVG, name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== "") element.textContent = text;
  return element;
}

const number = (x) => (Number.isFinite(x) ? String(Number(x.toPrecision(3))) : "–");

function showTip(text, x, y) {
  tip.textContent = text;
  const right = x + 14 + tip.offsetWidth > innerWidth;
  tip.style.left = `${Math.max(4, right ? x - 14 - tip.offsetWidth : x + 14)}px`;
  tip.style.top = `${Math.max(4, Math.min(y + 12, innerHeight - tip.offsetHeight - 4))}px`;
}

function hideTip() {
  tip.textContent = "";
}

// Points of a figure say their numbers under the pointer, and one after the other under the arrow keys.
function describePoints(svg, points) {
  let here = -1;
  const places = () => points().map((point) => point.getBoundingClientRect());
  function choose(k, x, y) {
    const all = points();
    all.forEach((point, i) => point.classList.toggle("here", i === k));
    here = k;
    if (k < 0) return hideTip();
    const box = all[k].getBoundingClientRect();
    showTip(all[k].dataset.tip, x ?? box.right, y ?? box.top);
  }
  svg.addEventListener("pointermove", (event) => {
    let nearest = -1;
    let least = 24;
    places().forEach((box, k) => {
      const aside = box.x + box.width / 2 - event.clientX;
      const away = Math.hypot(aside, Math.max(box.top - event.clientY, event.clientY - box.bottom, 0));
      if (away < least) [nearest, least] = [k, away];
    });
    choose(nearest, event.clientX, event.clientY);
  });
  svg.addEventListener("pointerleave", () => choose(-1));
  svg.addEventListener("blur", () => choose(-1));
  svg.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const n = points().length;
    if (event.key === "Escape") choose(-1);
    if (!step || !n) return;
    event.preventDefault();
    choose(here < 0 ? (step > 0 ? 0 : n - 1) : (here + step + n) % n);
  });
}

for (const svg of document.querySelectorAll(".panel svg")) {
  for (const point of svg.querySelectorAll(".pt")) {
    const title = point.querySelector("title");
    point.dataset.tip = title.textContent;
    title.remove();
  }
  describePoints(svg, () => [...svg.querySelectorAll(".pt")]);
}

// Tables are sorted by the column whose name is pressed: numbers by size, what is no number below.
function sortable(table) {
  const body = table.tBodies[0];
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = make("button", { class: "sort", type: "button" }, head.textContent);
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const rows = [...body.rows].map((row) => [row, row.cells[column].textContent.trim()]);
      const value = (text) => (text === "–" ? NaN : parseFloat(text.replaceAll(",", "")));
      const numeric = rows.filter(([, text]) => !Number.isNaN(value(text))).length * 2 > rows.length;
      rows.sort(([, a], [, b]) => {
        if (!numeric) return (down ? -1 : 1) * a.localeCompare(b);
        const [x, y] = [value(a), value(b)];
        if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y);
        return (down ? -1 : 1) * (x - y);
      });
      body.append(...rows.map(([row]) => row));
    });
  });
}

document.querySelectorAll("table.sortable").forEach(sortable);

// The explorer.
const ARRAYS = { uint8: Uint8Array, uint16: Uint16Array, uint32: Uint32Array, float32: Float32Array };
const STEPS = 65534;

function unpack(packed) {
  if (packed === null) return null;
  const bytes = Uint8Array.from(atob(packed.bytes), (letter) => letter.charCodeAt(0));
  return new ARRAYS[packed.type](bytes.buffer);
}

function roundTicks(low, high, most = 4) {
  const least = (high - low) / most;
  const power = 10 ** Math.floor(Math.log10(least));
  const step = [1, 2, 2.5, 5, 10].map((k) => k * power).find((k) => k >= least * (1 - 1e-9));
  const found = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k++) found.push(k * step);
  return found;
}

function explorer(data, home) {
  const pairs = Object.fromEntries(Object.entries(data.pairs).map(([name, packed]) => [name, unpack(packed)]));
  const barriers = data.barriers.map(unpack);
  const [place, scale, values] = [data.curve, data.scale, data.values].map(unpack);
  const nAlphas = data.alphas.length;
  const state = {
    levels: data.factors.map(() => 0),
    path: 0,
    measure: data.judged,
    pair: -1,
    measured: true,
    predicted: true,
    difference: false,
  };

  const controls = make("div", { class: "controls" });
  const plots = make("div", { class: "plots" });
  const [left, right] = [make("div"), make("div")];
  const map = make("svg", { viewBox: "0 0 320 320", role: "img", tabindex: "0" });
  const mapText = make("p");
  const plot = make("svg", { role: "img", tabindex: "0" });
  const pairText = make("p", { role: "status", id: "pair-text" });
  left.append(map, mapText);
  right.append(plot, pairText);
  plots.append(left, right);
  home.replaceChildren(controls, plots);

  function select(name, options, chosen, change) {
    const label = make("label", {}, `${name} `);
    const box = make("select", { name });
    options.forEach((text, k) => box.append(make("option", { value: k }, text)));
    box.value = chosen;
    box.addEventListener("change", () => change(Number(box.value)));
    label.append(box);
    controls.append(label);
    return box;
  }

  function check(name, key) {
    const label = make("label");
    const box = make("input", { type: "checkbox", name: key });
    box.checked = state[key];
    box.addEventListener("change", () => {
      state[key] = box.checked;
      drawCurve();
    });
    label.append(box, ` ${name}`);
    controls.append(label);
    return box;
  }

  data.factors.forEach((factor, k) =>
    select(factor.name, factor.levels, 0, (level) => {
      state.levels[k] = level;
      chooseCell();
    }),
  );
  const ofMeasure = select("measure", data.measures.map((one) => one.name), state.measure, (measure) => {
    state.measure = measure;
    drawMap();
    drawCurve();
  });
  ofMeasure.id = "measure";
  if (data.paths.length > 1)
    select("alignment", data.paths, 0, (path) => {
      state.path = path;
      drawMap();
      drawCurve();
    });
  const ofPair = select("pair", [], 0, (pair) => choose(pair));
  check("measured", "measured");
  const hasTheory = data.measures.some((one) => one.predicted >= 0);
  const boxes = hasTheory ? [check("predicted", "predicted"), check("difference", "difference")] : [];

  let cell = null;
  let members = []; // pairs of the cell
  let grid = new Map(); // pairs by "i,j", places in the clustered order
  let at = [0, 0];

  const barrier = (pair) => (barriers[state.measure * data.paths.length + state.path] ?? [])[pair] ?? NaN;

  function chooseCell() {
    cell = data.cells.find((one) => one.levels.every((level, k) => level === state.levels[k]));
    members = [];
    grid = new Map();
    if (cell) {
      pairs.cell.forEach((of, pair) => of === cell.cell && members.push(pair));
      const index = new Map(cell.families.map((family, k) => [family, k]));
      for (const pair of members) {
        const [i, j] = [index.get(pairs.fa[pair]), index.get(pairs.fb[pair])];
        for (const key of new Set([`${i},${j}`, `${j},${i}`])) grid.set(key, [...(grid.get(key) ?? []), pair]);
      }
    }
    drawMap();
    ofPair.replaceChildren();
    for (const pair of members) {
      const kind = data.kinds[pairs.kind[pair]] === "siblings" ? ", siblings" : "";
      const text = `${pairs.number[pair]}: networks ${pairs.a[pair]}, ${pairs.b[pair]}${kind}`;
      ofPair.append(make("option", { value: pair }, text));
    }
    choose(members.find((pair) => place[pair] > 0) ?? members[0] ?? -1);
  }

  const BINS = 16;
  const color = (k) => `color-mix(in oklab, var(--heat-low), var(--heat-high) ${Math.round((100 * k) / (BINS - 1))}%)`;

  function drawMap() {
    const n = cell ? cell.families.length : 0;
    const side = 320 / Math.max(n, 1);
    const means = new Map();
    for (const [key, some] of grid) means.set(key, some.reduce((sum, pair) => sum + barrier(pair), 0) / some.length);
    const known = [...means.values()].filter(Number.isFinite);
    const top = Math.max(0, ...known);
    const squares = Array.from({ length: BINS }, () => "");
    for (const [key, mean] of means) {
      if (!Number.isFinite(mean)) continue;
      const [i, j] = key.split(",").map(Number);
      const bin = top > 0 ? Math.min(BINS - 1, Math.max(0, Math.floor((BINS * mean) / top))) : 0;
      const [x, y, step] = [j * side, i * side, side].map((length) => length.toFixed(2));
      squares[bin] += `M${x} ${y}h${step}v${step}h-${step}z`;
    }
    const measure = data.measures[state.measure];
    map.replaceChildren(make("rect", { width: 320, height: 320, class: "none" }));
    squares.forEach((d, k) => d && map.append(make("path", { d, style: `fill:${color(k)};stroke:none` })));
    map.append(make("rect", { class: "here", id: "here" }));
    const share = n ? [...grid.keys()].length / (n * n) : 0;
    const part = share < 1 ? `; ${Math.round(100 * share)} % of the squares were measured` : "";
    const more = cell?.more ? ` of ${n + cell.more}, those of the first pairs` : "";
    const diagonal = data.kinds.includes("siblings") ? "; on the diagonal siblings" : "";
    const text =
      `${measure.name} barrier (linear) between ${n} families of networks${more}, ordered by clustering${diagonal}. ` +
      `From 0 (faint) to ${number(top)} (strong)${part}.`;
    map.setAttribute("aria-label", `Heat map: ${text} Arrow keys choose a pair.`);
    mapText.textContent = text;
    mark();
  }

  function mark() {
    const here = document.getElementById("here");
    const side = 320 / Math.max(cell?.families.length ?? 1, 1);
    here?.setAttribute("x", at[1] * side);
    here?.setAttribute("y", at[0] * side);
    here?.setAttribute("width", side);
    here?.setAttribute("height", side);
  }

  function choose(pair) {
    state.pair = pair;
    if (pair >= 0) {
      ofPair.value = pair;
      const [i, j] = [cell.families.indexOf(pairs.fa[pair]), cell.families.indexOf(pairs.fb[pair])];
      if (!(at[0] === j && at[1] === i)) at = [i, j];
    }
    mark();
    drawCurve();
  }

  function chooseSquare(i, j) {
    at = [i, j];
    const some = grid.get(`${i},${j}`);
    if (some) return choose(some.find((pair) => place[pair] > 0) ?? some[0]);
    mark();
    pairText.textContent = "No pair of these two families was measured.";
  }

  map.addEventListener("pointermove", (event) => {
    const box = map.getBoundingClientRect();
    const n = cell ? cell.families.length : 0;
    const [i, j] = [event.clientY - box.top, event.clientX - box.left].map((x) => Math.floor((n * x) / box.width));
    if (i >= 0 && j >= 0 && i < n && j < n && (i !== at[0] || j !== at[1])) chooseSquare(i, j);
  });
  map.addEventListener("keydown", (event) => {
    const step = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] }[event.key];
    if (!step || !cell) return;
    event.preventDefault();
    const n = cell.families.length;
    chooseSquare((at[0] + step[0] + n) % n, (at[1] + step[1] + n) % n);
  });

  function curve(column) {
    const k = place[state.pair] - 1;
    if (column < 0 || !(k >= 0)) return null;
    const first = (k * data.n_curves + column) * nAlphas;
    const most = scale[k * data.n_curves + column];
    return data.alphas.map((_, a) => (values[first + a] > STEPS ? NaN : (most * values[first + a]) / STEPS));
  }

  function axes(top, bottom, low, high, parts) {
    const y = (value) => bottom - ((value - low) / (high - low)) * (bottom - top);
    for (const value of roundTicks(low, high)) {
      parts.push(make("path", { class: "grid", d: `M46 ${y(value)}L350 ${y(value)}` }));
      parts.push(make("text", { class: "y", x: 41, y: y(value) + 3.5 }, number(value)));
    }
    return y;
  }

  function drawCurve() {
    const measure = data.measures[state.measure];
    const measured = curve(measure.curves[state.path]);
    const before = state.path > 0 ? curve(measure.curves[0]) : null;
    const predicted = state.path === 0 ? curve(measure.predicted) : null;
    boxes.forEach((box) => (box.disabled = state.path > 0 || measure.predicted < 0));
    const pair = state.pair;
    if (pair < 0) {
      plot.replaceChildren();
      pairText.textContent = "No pair of this cell was measured.";
      return;
    }
    const said = [`Pair ${pairs.number[pair]}, networks ${pairs.a[pair]} and ${pairs.b[pair]}`];
    const how = state.path ? ` ${data.paths[state.path]}` : "";
    said.push(`${measure.name} barrier (linear)${how} ${number(barrier(pair))} (${measure.unit})`);
    const siblings = grid.get(`${at[0]},${at[1]}`)?.length ?? 1;
    if (siblings > 1) said.push(`one of ${siblings} pairs of these families`);
    if (!measured) {
      plot.replaceChildren();
      pairText.textContent =
        `${said.join("; ")}. Its curve is not on this page, which has room for ${Math.max(...place)} of ` +
        `${place.length}; curves.parquet has it.`;
      return;
    }
    const withDifference = state.difference && predicted;
    const height = withDifference ? 330 : 235;
    plot.setAttribute("viewBox", `0 0 360 ${height}`);
    const [first, last] = [Math.min(...data.alphas), Math.max(...data.alphas)];
    const x = (alpha) => 46 + ((alpha - first) / (last - first)) * 304;
    const line = (curve, y) => {
      const places = curve.map((value, a) => `${x(data.alphas[a]).toFixed(1)} ${y(value).toFixed(1)}`);
      return `M${places.filter((_, a) => Number.isFinite(curve[a])).join("L")}`;
    };
    const curves = [state.measured && measured, state.predicted && predicted, before].filter(Boolean);
    const shown = curves.flat().filter(Number.isFinite);
    const parts = [];
    const y = axes(8, 195, 0, 1.05 * Math.max(...shown, 1e-12), parts);
    const ends = [0, 1].map((alpha) => data.alphas.indexOf(alpha)).map((a) => (a < 0 ? NaN : measured[a]));
    if (before) parts.push(make("path", { class: "before", d: line(before, y) }));
    if (state.measured && ends.every(Number.isFinite))
      parts.push(make("path", { class: "chord", d: `M${x(0)} ${y(ends[0])}L${x(1)} ${y(ends[1])}` }));
    if (state.predicted && predicted) {
      const drawn = make("g", { class: "second" });
      drawn.append(make("path", { d: line(predicted, y) }));
      parts.push(drawn);
    }
    const points = make("g", { class: "first measured" });
    if (state.measured)
      measured.forEach((value, a) => {
        if (!Number.isFinite(value)) return;
        const point = make("circle", { class: "pt", cx: x(data.alphas[a]), cy: y(value), r: 3 });
        const theory = predicted
          ? `, predicted ${number(predicted[a])}, difference ${number(value - predicted[a])}`
          : "";
        point.dataset.tip = `α = ${number(data.alphas[a])}: measured ${number(value)}${theory}`;
        points.append(point);
      });
    parts.push(points);
    let bottom = 195;
    if (withDifference) {
      const difference = measured.map((value, a) => value - predicted[a]);
      const most = Math.max(...difference.filter(Number.isFinite).map(Math.abs), Math.max(...measured) / STEPS);
      const d = axes(225, 290, -1.1 * most, 1.1 * most, parts);
      parts.push(make("text", { x: 49, y: 222, class: "strip" }, "measured less predicted"));
      const drawn = make("g", { class: "first" });
      drawn.append(make("path", { d: line(difference, d) }));
      parts.push(drawn);
      bottom = 290;
    }
    for (const alpha of roundTicks(first, last))
      parts.push(make("text", { class: "x", x: x(alpha), y: bottom + 15 }, number(alpha)));
    parts.push(make("text", { class: "x", x: 198, y: bottom + 31 }, "α"));
    plot.replaceChildren(...parts);
    const names = [
      state.measured && "points are measured",
      state.predicted && predicted && `the line is the ${measure.prediction}`,
      before && "the thin line is as trained",
      state.measured && "the dashed line joins the ends",
    ];
    if (ends.every(Number.isFinite)) said.push(`at the ends ${number(ends[0])} and ${number(ends[1])}`);
    const legend = names.filter(Boolean).join(", ");
    pairText.textContent = `${said.join("; ")}. ${legend.charAt(0).toUpperCase()}${legend.slice(1)}.`;
    plot.setAttribute("aria-label", `${measure.name} along the path. ${pairText.textContent}`);
  }

  describePoints(plot, () => [...plot.querySelectorAll(".pt")]);
  chooseCell();
}

const stored = document.getElementById("data");
if (stored) explorer(JSON.parse(stored.textContent), document.getElementById("explorer"));
