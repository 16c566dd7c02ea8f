const FACTS = JSON.parse(document.getElementById("facts").textContent); // the presets and how to begin, from Python
const usual = (preset) => FACTS.presets[preset].defaults;

const { width, elsewhere } = usual("link_for_thresholds");
const state = {
  mode: "thresholds", thresholds: [0.8], weights: [], width, elsewhere,
  preset: "high_scores", strength: usual("high_scores").strength,
  from: 0.7, to: 0.9, times: usual("score_region").strength,
  knots: [], heights: [], json: "", low: 0, high: 1, targets: [], labels: [],
};

// --- The link that the state says, and the Python that makes it -----------------------------------------------------

const isScore = (value) => state.low <= value && value <= state.high;
const strengths = [(value) => value > 0 && value <= 500, "a number above 0, up to 500"];
const FIELDS = { // of each input: whether a number in it is allowed, and what is
  thresholds: [isScore, "scores within their range, with commas between"],
  weights: [(value) => value > 0, "numbers above 0"],
  width: [(value) => value > 0, "a number above 0"],
  elsewhere: [(value) => value >= 0 && value <= 1, "a number from 0 to 1"],
  strength: strengths,
  times: strengths,
  from: [isScore, "a score within their range"],
  to: [(value) => isScore(value) && value > state.from, "a score within their range, above the other end"],
  knots: [() => true, "scores, with commas between"],
  heights: [(value) => value >= 0, "numbers from 0 upwards"],
  low: [() => true, "a number"],
  high: [(value) => value > state.low, "a number above the other end"],
  targets: [isScore, "scores within their range, with commas between"],
};

function checkFields(...names) {
  for (const name of names) {
    const [fits, words] = FIELDS[name];
    const values = [state[name]].flat();
    const isRight = values.length > 0 && values.every((value) => Number.isFinite(value) && fits(value));
    byId(name).setAttribute("aria-invalid", !isRight);
    check(isRight, `${byId(name).labels[0].textContent}: give ${words}.`);
  }
}

const written = (config) => JSON.stringify(config).replace(/[,:]/g, "$& "); // its strings are names
const python = (value) => (Array.isArray(value) ? `[${value.join(", ")}]` : String(value));

/** The link of a preset, and its call in Python, with the arguments that are not at their defaults. */
function preset(name, positional, keywords) {
  const all = { ...keywords, score_range: [state.low, state.high] };
  const given = Object.entries(all).filter(([key, value]) => String(value) !== String(usual(name)[key]));
  const words = [...positional.map(python), ...given.map(([key, value]) => `${key}=${python(value)}`)];
  return [PRESETS[name](...positional, all), name, `${name}(${words.join(", ")})`];
}

const MODES = { // the link's JSON, what to import, and the code
  thresholds() {
    const { thresholds, width, elsewhere } = state;
    const weights = state.weights.length ? state.weights : null;
    checkFields("thresholds", "width", "elsewhere", ...(weights ? ["weights"] : []));
    check(!weights || weights.length === thresholds.length, "Give one weight for each threshold, or none.");
    return preset("link_for_thresholds", [thresholds], { weights, width, elsewhere });
  },
  preset() {
    checkFields("strength");
    return preset(state.preset, [], { strength: state.strength });
  },
  region() {
    checkFields("from", "to", "times");
    return preset("score_region", [state.from, state.to], { strength: state.times });
  },
  drawn() {
    const { knots, heights, low, high } = state;
    checkFields("knots", "heights");
    const config = normalized({ type: "PiecewiseLink", knots, sensitivities: heights }, low, high);
    const lists = `    knots=${python(knots)},\n    sensitivities=${python(heights)},\n`;
    return [config, "PiecewiseLink", `PiecewiseLink(\n${lists}).normalized(${low}, ${high})`];
  },
  json() {
    const config = JSON.parse(state.json);
    linkFromConfig(config);
    return [config, "link_from_config", `link_from_config(${written(config).replaceAll("null", "None")})`];
  },
};

// --- The user's scores ----------------------------------------------------------------------------------------------

const NAMES = {
  predicted: ["predicted", "predicted_score", "prediction", "score", "similarity", "cosine"],
  target: ["target", "gold", "label", "labels", "target_score", "similarity_score", "score"],
};

/** The rows of a CSV that are not empty: their cells, and the line they begin at. */
function parseRows(text) {
  const first = text.split(/[\r\n]/, 1)[0].replace(/"[^"]*"/g, "");
  const separator = ["\t", ";", ","].find((each) => first.includes(each)) ?? ",";
  const cell = new RegExp(`("(?:[^"]|"")*"|[^${separator}\\r\\n]*)(${separator}|\\r\\n?|\\n|$)`, "gy");
  const rows = [];
  let [line, cells] = [1, []];
  for (const [whole, value, end] of text.matchAll(cell)) {
    const plain = value.startsWith('"') ? value.slice(1, -1).replaceAll('""', '"') : value;
    cells.push(separator === "," ? plain.trim() : plain.trim().replace(/^([+-]?\d+),(\d+)$/, "$1.$2"));
    if (end !== separator) {
      if (cells.some(Boolean)) rows.push({ line, cells });
      cells = [];
    }
    line += whole.split(/\r\n?|\n/).length - 1;
  }
  return rows;
}

const isNumber = (cell) => /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(cell ?? "") && Number.isFinite(Number(cell));

/** Which columns hold the scores, where it can be told: those with a known name, or the only two. */
function columnsOf(names) {
  const lower = names.map((name) => name.toLowerCase());
  const predicted = NAMES.predicted.map((name) => lower.indexOf(name)).find((place) => place >= 0);
  const target = NAMES.target.map((name) => lower.indexOf(name)).find((place) => place >= 0 && place !== predicted);
  const isTold = predicted !== undefined && target !== undefined;
  return !isTold && names.length === 2 ? { predicted: 0, target: 1 } : { predicted, target };
}

/** Let the user choose the columns. */
function offerColumns(names, columns) {
  for (const [name, place] of Object.entries(columns)) {
    byId(name).replaceChildren(new Option("choose one", ""), ...names.map((each, i) => new Option(each, i)));
    byId(name).value = place ?? "";
  }
  byId("columns").hidden = false;
}

/** The scores of a CSV, and what is to be said about it. */
function readScores(text, chosen) {
  const rows = parseRows(text);
  check(rows.length, "There are no rows: give two columns, predicted and target.");
  const header = rows[0].cells.some(isNumber) ? [] : rows.shift().cells;
  const length = Math.max(header.length, rows[0]?.cells.length ?? 0);
  const names = Array.from({ length }, (_, i) => header[i] || `column ${i + 1}`);
  const columns = chosen ?? columnsOf(names);
  check(names.length > 1, "There is one column: give two, predicted and target.");
  offerColumns(names, columns);
  const { predicted, target } = columns;
  const areChosen = names[predicted] && names[target] && predicted !== target;
  check(areChosen, "Choose the columns of predicted and target scores.");
  check(rows.length, "There are no rows below the names.");
  const [pairs, wrong] = [[], []];
  for (const { line, cells } of rows) {
    const bad = [predicted, target].find((place) => !isNumber(cells[place]));
    if (bad === undefined) pairs.push([Number(cells[predicted]), Number(cells[target])]);
    else wrong.push(`line ${line}: ${names[bad]} is ${cells[bad] ? `“${cells[bad]}”, no number` : "missing"}`);
  }
  const first = [...wrong.slice(0, 5), ...(wrong.length > 5 ? ["…"] : [])].join("\n");
  const left = wrong.length ? ` ${wrong.length} of ${rows.length} rows are left out:\n${first}` : "";
  check(pairs.length, left.trim());
  return { pairs, isWrong: wrong.length > 0, words: `${pairs.length} pairs.${left}` };
}

/** Scores made up, as of a model that squeezes them. */
function exampleScores() {
  const noise = (seed) => 2 * ((1e4 * Math.abs(Math.sin(seed))) % 1) - 1;
  const predicted = (target, i) => 0.2 + 0.65 * target + 0.12 * (noise(i) + noise(i + 999));
  const pairs = evenly(0, 1, 239).map((target, i) => [predicted(target, i), target]);
  return { pairs, words: "These 240 pairs are made up, until you give yours." };
}

let scores = exampleScores();

/** The pairs with targets on the scale of the scores. */
function scaledPairs() {
  const [[low, high], { labels }, { pairs }] = [range, state, scores];
  const [least, most] = labels.length ? labels : range;
  check([0, 2].includes(labels.length) && least < most, "Scale of the labels: give two numbers, such as 0, 5.");
  return labels.length ? pairs.map(([p, s]) => [p, low + ((s - least) / (most - least)) * (high - low)]) : pairs;
}

function aboutTargets() {
  const outside = scaledPairs().filter(([, s]) => s < range[0] || s > range[1]).length;
  return outside ? `Targets outside the range of the scores: ${outside}. Have labels a scale of their own?` : "";
}

// --- What is shown --------------------------------------------------------------------------------------------------

const POINTS = 400;
const MOST_DOTS = 1500;
let link, config, range, curve; // of the last state that was right

const replaced = (values, i, value) => values.map((old, place) => (place === i ? value : old));
const without = (values, i) => values.filter((_, place) => place !== i);
const sides = { // what its handles are for, in each mode that has some
  thresholds: () => state.thresholds.map((x) => ({ x, y: link.slope(x), name: "Threshold" })),
  region: () => [state.from, state.to].map((x) => ({ x, y: link.slope(x), name: "End of the region" })),
  drawn: () => state.knots.map((x) => ({ x, y: link.slope(x), name: "Knot", free: true })),
};

const pictures = {
  sensitivity: new Picture("sensitivity", (z) => `at ${short(z)}: ${short(link.slope(z))}`, {
    move(i, x, y) {
      if (state.mode === "thresholds") state.thresholds = replaced(state.thresholds, i, x);
      if (state.mode === "region") state[i ? "to" : "from"] = x;
      if (state.mode !== "drawn") return;
      const isBetween = (state.knots[i - 1] ?? -Infinity) < x && x < (state.knots[i + 1] ?? Infinity);
      if (isBetween) state.knots = replaced(state.knots, i, x);
      state.heights = replaced(state.heights, i, Number((y / config.weights[0]).toFixed(2)));
    },
    remove(i) {
      const names = { thresholds: ["thresholds", "weights"], drawn: ["knots", "heights"] }[state.mode] ?? [];
      for (const name of names) state[name] = without(state[name], i);
    },
    add: addAt,
  }),
  link: new Picture("link", (z) => `h(${short(z)}) = ${short(link.h(z))}`),
  potential: new Picture("potential", (z) => `H(${short(z)}) = ${short(link.potential(z))}`),
  loss: new Picture("loss", (z) => `at ${short(z)}: ${state.targets.map((s) => short(link.loss(z, s))).join(", ")}`, {
    move(i, x) { state.targets = replaced(state.targets, i, x); },
    remove(i) { state.targets = without(state.targets, i); },
    add(x) { state.targets = [...state.targets, x]; },
  }),
  curve: new Picture("curve", (t) => `at ${short(t)}: ${short(curve.findLast(([at]) => at <= t)[1])}`),
  gradient: new Picture("gradient", (z) => `predicted ${short(z)}`),
};

/** A new threshold, or a knot on the line. */
function addAt(x) {
  if (state.mode === "thresholds" && !state.thresholds.includes(x)) {
    state.thresholds = [...state.thresholds, x];
    if (state.weights.length) state.weights = [...state.weights, 1];
  }
  if (state.mode !== "drawn" || state.knots.includes(x)) return;
  const place = state.knots.filter((knot) => knot < x).length;
  state.heights = state.heights.toSpliced(place, 0, Number((link.slope(x) / config.weights[0]).toFixed(2)));
  state.knots = state.knots.toSpliced(place, 0, x);
}

/** Half of the gradient comes from this share of the pairs. */
function shareOfHalf(gradients) {
  const sizes = gradients.map(Math.abs).sort((a, b) => b - a);
  const half = sum(sizes) / 2;
  let [count, total] = [0, 0];
  while (total < half) total += sizes[count++];
  return half ? `${short((100 * count) / sizes.length)} %` : "none";
}

function drawLink() {
  const { mode, targets, heights } = state;
  const [low, high] = range;
  const grid = evenly(low, high, POINTS);
  const along = (f) => grid.map((z) => [z, f(z)]);
  const slopes = along(link.slope);
  const drawnTop = config.weights?.[0] * Math.max(10, ...heights);
  const top = mode === "drawn" ? drawnTop : 1.08 * highest(slopes.map(([, y]) => y));
  pictures.sensitivity.draw({
    x: range, y: [0, Math.max(top, 1.5)], areas: [slopes], lines: [[[[low, 1], [high, 1]], "other"], [slopes, ""]],
    handles: sides[mode]?.() ?? [],
  });
  pictures.link.draw({ x: range, y: range.map(link.h), lines: [[along(link.h), ""]] });
  const potential = along(link.potential);
  const [bottom, peak] = [-1, 1].map((sign) => sign * highest(potential.map(([, y]) => sign * y)));
  pictures.potential.draw({ x: range, y: [bottom, peak], lines: [[potential, ""]] });
  const losses = targets.map((s) => along((p) => link.loss(p, s)));
  const height = highest(losses.map((points) => points.map(([, y]) => y).sort((a, b) => a - b)[POINTS * 0.75]));
  pictures.loss.draw({
    x: range, y: [0, height || 1], handles: targets.map((s) => ({ x: s, y: 0, name: "Target" })),
    lines: [...targets.map((s) => [along((p) => (p - s) ** 2 / 2), "other"]), ...losses.map((points) => [points, ""])],
  });
  const columns = [(z) => z, link.slope, link.h, link.potential];
  const rows = evenly(low, high, 10).map((z) => columns.map((of) => `<td>${short(of(z))}`));
  const table = rows.map((cells) => `<tr>${cells.join("")}`).join("");
  byId("table").innerHTML = `<table><tr><th>score<th>sensitivity<th>link<th>potential${table}</table>`;
}

function drawScores() {
  const pairs = scaledPairs();
  const predicted = pairs.map(([p]) => p);
  const ends = [-highest([-range[0], ...predicted.map((p) => -p)]), highest([range[1], ...predicted])];
  const grid = evenly(...ends, POINTS);
  const of = String([...ends, ...state.labels]); // which it depends on, and not on the link
  if (scores.curveOf !== of) Object.assign(scores, { curveOf: of, curve: thresholdCurve(pairs, grid) });
  const slopes = grid.map(link.slope);
  const stops = slopes.filter((_, i) => i % 4 === 0).map((slope, i) =>
    `<stop offset="${i / 100}" stop-opacity="${0.04 + (0.8 * slope) / highest(slopes)}"/>`);
  curve = grid.map((t, i) => [t, scores.curve[i]]);
  pictures.curve.draw({
    x: ends, y: [0, 1.08 * highest(scores.curve) || 1], areas: [curve], lines: [[curve, ""]],
    fill: `<linearGradient id="shade">${stops.join("")}</linearGradient>`,
  });
  const gradients = pairs.map(([p, s]) => link.h(p) - link.h(s));
  const plain = pairs.map(([p, s]) => p - s);
  const every = Math.ceil(pairs.length / MOST_DOTS);
  const dots = (values) => values.map((value, i) => [pairs[i][0], value]).filter((_, i) => i % every === 0);
  const reach = 1.08 * highest(gradients.map(Math.abs)) || 1;
  pictures.gradient.draw({ x: ends, y: [-reach, reach], dots: [[dots(plain), "other"], [dots(gradients), ""]] });
  const mean = (values) => sum(values) / pairs.length;
  const losses = pairs.map(([p, s]) => link.loss(p, s));
  const figures = {
    "Mean matching loss: the area under the curve, weighed by the sensitivity": short(mean(losses)),
    "Half the mean squared error": short(mean(plain.map((d) => d ** 2 / 2))),
    "Pairs that make half of the gradient": shareOfHalf(gradients),
    "The same for the squared error": shareOfHalf(plain),
  };
  byId("figures").innerHTML = Object.entries(figures).map((entry) => `<dt>${entry[0]}<dd>${entry[1]}`).join("");
}

function say(id, words, isWrong = false) {
  byId(id).textContent = words;
  byId(id).classList.toggle("wrong", Boolean(isWrong));
}

function showLink() {
  checkFields("low", "high", "targets");
  const [found, name, code] = MODES[state.mode]();
  const [made, ends] = [linkFromConfig(found), [state.low, state.high]];
  check(ends.every((z) => Number.isFinite(made.slope(z))), "The link overflows on these scores.");
  check(made.h(ends[0]) < made.h(ends[1]), "The link has no sensitivity on these scores: nothing would matter.");
  [link, config, range] = [made, found, ends];
  byId("python").textContent = `from selective_st.links import ${name}
from selective_st.losses import SelectivePointwiseLoss

link = ${code}
loss = SelectivePointwiseLoss(model, link=link)`;
  const isUnit = range[0] === 0 && range[1] === 1;
  const mend = "It maps labels to scores from 0 to 1: make that the range.";
  const labels = state.labels.length ? `--score-range ${state.labels} ` : "";
  byId("focus").textContent = isUnit ? `${labels}--focus '${written(config)}'` : mend;
  document.querySelector("[data-copy=focus]").disabled = !isUnit;
  drawLink();
}

/** What an action says where it fails by a mistake of the user. */
function mistakeIn(action) {
  try {
    action();
  } catch (error) {
    if (error instanceof SyntaxError) return `This is not valid JSON: ${error.message}.`;
    if (error instanceof Mistake) return error.message;
    throw error;
  }
  return "";
}

/** Show the state; where it is wrong, say so and leave the last link that was right. */
function show() {
  for (const part of document.querySelectorAll("[data-mode]")) part.hidden = part.dataset.mode !== state.mode;
  byId("preset-words").textContent = FACTS.presets[state.preset].summary;
  byId("strength-words").textContent = FACTS.presets[state.preset].strength;
  say("error", mistakeIn(showLink));
  const mistake = mistakeIn(drawScores);
  say("read", mistake || `${scores.words} ${aboutTargets()}`, scores.isWrong || mistake);
}

/** Write the state into the inputs but for the one that is being written in. */
function fill() {
  for (const input of document.querySelectorAll("[data-state]")) {
    const value = state[input.dataset.state];
    if (input !== document.activeElement) input.value = Array.isArray(value) ? value.join(", ") : value;
  }
  for (const choice of document.querySelectorAll("[name=mode]")) choice.checked = choice.value === state.mode;
}

function change(make) {
  make();
  fill();
  show();
}

function readInput({ type, value }) {
  if (type === "number" || type === "range") return value === "" ? NaN : Number(value);
  return type === "text" ? value.split(/[\s,;]+/).filter(Boolean).map(Number) : value;
}

/** Another way to say it starts from the link that is there, where it can. */
function enter(mode) {
  if (mode === "drawn" && link) {
    state.knots = evenly(state.low, state.high, 8).map((knot) => Number(knot.toFixed(4)));
    const slopes = state.knots.map(link.slope);
    state.heights = slopes.map((slope) => Number(((8 * slope) / highest(slopes)).toFixed(2)));
  }
  if (mode === "json" && config) state.json = JSON.stringify(config, null, 2);
  state.mode = mode;
}

function read(text, chosen) {
  scores = exampleScores();
  byId("columns").hidden = true;
  const mistake = text && mistakeIn(() => { scores = readScores(text, chosen); });
  if (mistake) Object.assign(scores, { words: `${mistake} The pictures show made-up pairs.`, isWrong: true });
  scores.text = text;
  show();
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    say("copied", "Copied.");
  } catch {
    say("copied", "The browser does not let this page copy: mark the text, and copy it by hand.", true);
  }
}

for (const input of document.querySelectorAll("[data-state]")) {
  input.addEventListener("input", () => change(() => { state[input.dataset.state] = readInput(input); }));
}
for (const choice of document.querySelectorAll("[name=mode]")) {
  choice.addEventListener("change", () => change(() => enter(choice.value)));
}
for (const button of document.querySelectorAll("[data-copy]")) {
  const { copy: what } = button.dataset;
  button.addEventListener("click", () => copy(what === "config" ? written(config) : byId(what).textContent));
}
byId("columns").addEventListener("change", () => {
  read(scores.text, { predicted: byId("predicted").value, target: byId("target").value });
});
byId("pasted").addEventListener("input", ({ target }) => read(target.value));
byId("file").addEventListener("change", async ({ target }) => {
  if (target.files.length) read(await target.files[0].text());
});
const { targets, ...beginning } = FACTS.initial;
change(() => Object.assign(state, { targets }));
change(() => Object.assign(state, beginning)); // which may be wrong, beside a link that is right
new ResizeObserver(show).observe(document.querySelector("main"));
