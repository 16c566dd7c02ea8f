// Links from their JSON, as `link_from_config` reads them, and the threshold curve: a second implementation, which
// tests/test_link_designer.py holds to the numbers of Python.

/** What the user can mend, and is told. */
class Mistake extends Error {}

function check(condition, message) {
  if (!condition) throw new Mistake(message);
}

const sum = (values) => values.reduce((total, value) => total + value, 0);
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
const sigmoid = (x) => (x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x)));
const softplus = (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));

/** e^x - 1 - x, by its series where the subtraction would lose digits. */
function phi(x) {
  if (Math.abs(x) > 0.5) return Math.expm1(x) - x;
  let series = 1;
  for (let k = 16; k > 2; k--) series = 1 + (x / k) * series;
  return (x * x * series) / 2;
}

/** The way from one score to another, cut at places between them. */
function parts(from, to, places) {
  const cuts = places.filter((place) => (from < place && place < to) || (to < place && place < from));
  const way = [from, ...cuts.sort((a, b) => (to > from ? a - b : b - a)), to];
  return way.slice(1).map((end, i) => [way[i], end]);
}

// Each kind of link: its fields, and the functions h, h' and the matching loss D(p, s).
const LINKS = {
  ConstantLink: [[], () => ({ h: () => 1, slope: () => 0, loss: () => 0 })],

  IdentityLink: [[], () => ({ h: (z) => z, slope: () => 1, loss: (p, s) => (p - s) ** 2 / 2 })],

  ExponentialLink: [["scale"], ({ scale: a }) => {
    check(a !== 0, "The scale of an ExponentialLink must not be 0.");
    return {
      h: (z) => Math.sign(a) * Math.exp(a * z),
      slope: (z) => Math.abs(a) * Math.exp(a * z),
      loss: (p, s) => (Math.exp(a * s) / Math.abs(a)) * phi(a * (p - s)),
    };
  }],

  SinhLink: [["scale", "shift"], ({ scale: a, shift: c }) => {
    check(a > 0, "The scale of a SinhLink must be above 0.");
    return {
      h: (z) => Math.sinh(a * (z - c)),
      slope: (z) => a * Math.cosh(a * (z - c)),
      loss(p, s) {
        const [w, x] = [a * (s - c), a * (p - s)];
        return (Math.exp(w) * phi(x) + Math.exp(-w) * phi(-x)) / (2 * a);
      },
    };
  }],

  SigmoidLink: [["scale", "shift"], ({ scale: a, shift: c }) => {
    check(a > 0, "The scale of a SigmoidLink must be above 0.");
    return {
      h: (z) => sigmoid(a * (z - c)),
      slope: (z) => a * sigmoid(a * (z - c)) * sigmoid(a * (c - z)),
      loss(p, s) {
        const flip = s > c ? -1 : 1; // the loss is symmetric about c
        const [w, x] = [flip * a * (s - c), flip * a * (p - s)];
        const q = sigmoid(w);
        if (Math.abs(x) < 1e-3) return (q * (1 - q) * x * x * (1 + (x * (1 - 2 * q)) / 3)) / (2 * a);
        if (Math.abs(x) < 1) return (Math.log1p(q * Math.expm1(x)) - q * x) / a;
        return (softplus(w + x) - softplus(w) - q * x) / a;
      },
    };
  }],

  PiecewiseLink: [["knots", "sensitivities"], ({ knots, sensitivities }) => {
    check(knots.length > 0 && knots.length === sensitivities.length, "Give one sensitivity for each knot.");
    check(knots.every((knot, i) => i === 0 || knots[i - 1] < knot), "The knots must increase.");
    check(sensitivities.every((height) => height >= 0), "A sensitivity must not be negative.");
    check(sensitivities.some((height) => height > 0), "All sensitivities are 0: nothing would matter.");
    const last = knots.length - 1;

    function slope(z) {
      if (z <= knots[0]) return sensitivities[0];
      if (z >= knots[last]) return sensitivities[last];
      const i = knots.findIndex((knot) => knot > z);
      const share = (z - knots[i - 1]) / (knots[i] - knots[i - 1]);
      return (1 - share) * sensitivities[i - 1] + share * sensitivities[i];
    }

    /** The integral of weight(z) h'(z) by Simpson's rule, which is exact between knots for a weight that is linear. */
    function integral(from, to, weight) {
      const at = (z) => weight(z) * slope(z);
      const rule = ([start, end]) => ((end - start) * (at(start) + 4 * at((start + end) / 2) + at(end))) / 6;
      return sum(parts(from, to, knots).map(rule));
    }

    return { h: (z) => integral(knots[0], z, () => 1), slope, loss: (p, s) => integral(s, p, (z) => p - z) };
  }],

  WeightedSumLink: [["weights", "links"], ({ weights, links }) => {
    check(links.length > 0 && links.length === weights.length, "Give one weight for each link.");
    check(weights.every((weight) => weight > 0), "The weights of links must be above 0.");
    const summands = links.map(linkFromConfig);
    const total = (name) => (...scores) => sum(summands.map((each, i) => weights[i] * each[name](...scores)));
    return { h: total("h"), slope: total("slope"), loss: total("loss") };
  }],

  LinearOutsideLink: [["link", "low", "high"], ({ link, low, high }) => {
    check(low !== null || high !== null, "Give low or high, or both.");
    const [from, to] = [low ?? -Infinity, high ?? Infinity];
    check(from < to, "low must be below high.");
    const inner = linkFromConfig(link);
    const inside = (z) => clamp(z, from, to);
    const slope = (z) => inner.slope(inside(z));
    const h = (z) => inner.h(inside(z)) + (z === inside(z) ? 0 : slope(z) * (z - inside(z)));
    const rise = (p, a, b) => { // the integral of (p - z) h'(z) from a to b, on one side of each end
      const middle = (a + b) / 2;
      if (middle === inside(middle)) return inner.loss(b, a) + (p - b) * (inner.h(b) - inner.h(a));
      return slope(middle) * (b - a) * (p - middle);
    };
    return { h, slope, loss: (p, s) => sum(parts(s, p, [from, to]).map(([a, b]) => rise(p, a, b))) };
  }],
};

const OF_LINKS = ["link", "links"];
const LISTS = ["knots", "sensitivities", "weights", "links"];

function linkFromConfig(config) {
  const known = Object.keys(LINKS).join(", ");
  const isKnown = typeof config === "object" && config !== null && Object.hasOwn(LINKS, config.type);
  check(isKnown, `A link's JSON has a "type", one of ${known}; got ${JSON.stringify(config?.type ?? config)}.`);
  const { type, ...given } = config;
  const [fields, make] = LINKS[type];
  const got = Object.keys(given);
  const fits = got.length === fields.length && got.every((name) => fields.includes(name));
  check(fits, `A ${type} has besides its type: ${fields.join(", ") || "nothing"}; got ${got.join(", ") || "nothing"}.`);
  for (const [name, value] of Object.entries(given)) {
    const isList = LISTS.includes(name);
    const isNumber = (x) => Number.isFinite(x) || (type === "LinearOutsideLink" && x === null);
    const isRight = Array.isArray(value) === isList && (OF_LINKS.includes(name) || [value].flat().every(isNumber));
    check(isRight, `${type}: ${name} must be ${isList ? "a list" : "a number"}, got ${JSON.stringify(value)}.`);
  }
  const made = make(config);
  return { ...made, potential: (z) => made.loss(z, 0) + z * made.h(0) }; // H, from 0 at the score 0
}

/** A sum of links with positive weights; a sum of sums is one sum. */
function weightedSum(weights, links) {
  const flat = links.flatMap((link, i) => link.type !== "WeightedSumLink" ? [[weights[i], link]]
    : link.links.map((part, j) => [weights[i] * link.weights[j], part]));
  return { type: "WeightedSumLink", weights: flat.map(([weight]) => weight), links: flat.map(([, link]) => link) };
}

/** The link times what makes its average sensitivity over [low, high] 1. */
function normalized(config, low, high) {
  const link = linkFromConfig(config);
  const average = (link.h(high) - link.h(low)) / (high - low);
  check(Number.isFinite(average), "The link overflows on these scores: lower its strength.");
  check(average > 0, "The link has no sensitivity on these scores: nothing would matter.");
  return weightedSum([1 / average], [config]);
}

const evenly = (low, high, points) => Array.from({ length: points + 1 }, (_, i) => low + ((high - low) * i) / points);
const highest = (values) => values.reduce((most, value) => Math.max(most, value), -Infinity);

// The presets, with the names and arguments they have in Python.
const PRESETS = {
  high_scores: ({ strength, score_range: [low, high] }) =>
    normalized({ type: "ExponentialLink", scale: strength / (high - low) }, low, high),
  low_scores: ({ strength, score_range: [low, high] }) =>
    normalized({ type: "ExponentialLink", scale: -strength / (high - low) }, low, high),
  extreme_scores: ({ strength, score_range: [low, high] }) =>
    normalized({ type: "SinhLink", scale: (2 * strength) / (high - low), shift: (low + high) / 2 }, low, high),
  middle_scores: ({ strength, score_range: [low, high] }) =>
    normalized({ type: "SigmoidLink", scale: (2 * strength) / (high - low), shift: (low + high) / 2 }, low, high),
  score_region(from, to, { strength, score_range: [low, high] }) {
    const ramp = (high - low) / 10;
    const knots = [from - ramp, from, to, to + ramp];
    return normalized({ type: "PiecewiseLink", knots, sensitivities: [1, strength, strength, 1] }, low, high);
  },
  link_for_thresholds(thresholds, { weights, width, elsewhere, score_range: [low, high] }) {
    const sigmoids = thresholds.map((shift) => ({ type: "SigmoidLink", scale: 1 / width, shift }));
    const humps = weightedSum(weights ?? thresholds.map(() => 1), sigmoids);
    const { slope } = linkFromConfig(humps);
    const [first, last] = [Math.min(...thresholds), Math.max(...thresholds)];
    const grid = evenly(first, last, 2000);
    const top = highest(thresholds.concat(grid).map(slope));
    const best = thresholds.concat(grid).find((score) => slope(score) === top);
    const floor = elsewhere * highest(grid.map((score) => slope(best + (score - (first + last) / 2) / 1000)));
    const summands = [[1 - elsewhere, humps], [floor, { type: "IdentityLink" }]].filter(([weight]) => weight > 0);
    return normalized(weightedSum(...[0, 1].map((place) => summands.map((each) => each[place]))), low, high);
  },
};

/** The mean loss of deciding at each threshold, as `selective_st.evaluation.threshold_curve` has it. */
function thresholdCurve(pairs, thresholds) {
  return thresholds.map((at) => {
    let total = 0;
    for (const [p, s] of pairs) {
      if ((p < at && at < s) || (s < at && at < p)) total += Math.abs(p - at);
    }
    return total / pairs.length;
  });
}
