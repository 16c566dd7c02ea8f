// Pictures with handles for the mouse, the finger and the keyboard.

const byId = (id) => document.getElementById(id);
const short = (value) => String(Number(value.toPrecision(3)));

function ticks(low, high, most) {
  const size = 10 ** Math.floor(Math.log10((high - low) / most));
  const step = size * [1, 2, 5, 10].find((factor) => factor * size * most >= high - low);
  const [first, last] = [Math.ceil(low / step - 1e-9), Math.floor(high / step + 1e-9)];
  return Array.from({ length: last - first + 1 }, (_, i) => (first + i) * step);
}

function setAttributes(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
}

class Picture {
  /** `move(i, x, y)` and `remove(i)` are for its handles, `add(x)` for where it is clicked twice. */
  constructor(id, readout, { move, remove, add } = {}) {
    const svg = byId(id).querySelector("svg");
    svg.innerHTML = `<clipPath id="${id}-clip"><rect/></clipPath><g></g><g></g>`;
    const [content, handles] = svg.querySelectorAll("g");
    Object.assign(this, { id, svg, content, handles, move, remove });
    const output = byId(id).querySelector("output");
    svg.addEventListener("pointermove", (event) => { output.value = readout(this.valuesAt(event)[0]); });
    svg.addEventListener("pointerleave", () => { output.value = ""; });
    if (add) svg.addEventListener("dblclick", (event) => change(() => add(this.rounded(this.valuesAt(event)[0]))));
    for (const kind of ["pointerdown", "pointermove", "keydown"]) {
      handles.addEventListener(kind, (event) => this[kind](event));
    }
  }

  /** Where values are, in pixels. */
  place(...values) {
    return values.map((value, axis) => {
      const [[from, to], [low, high]] = [this.box[axis], this.ends[axis]];
      return Number(clamp(from + ((value - low) / (high - low)) * (to - from), -1e4, 1e4).toFixed(1));
    });
  }

  valuesAt({ clientX, clientY }) {
    const { left, top } = this.svg.getBoundingClientRect();
    return [clientX - left, clientY - top].map((pixel, axis) => {
      const [[from, to], [low, high]] = [this.box[axis], this.ends[axis]];
      return clamp(low + ((pixel - from) / (to - from)) * (high - low), low, high);
    });
  }

  rounded(score) {
    const step = 10 ** Math.round(Math.log10((this.ends[0][1] - this.ends[0][0]) / 1000));
    return Number((Math.round(score / step) * step).toFixed(9));
  }

  path(points) {
    return `M${points.map((point) => this.place(...point)).join("L")}`;
  }

  draw({ x, y, fill = "", areas = [], dots = [], lines = [], handles = [] }) {
    const { width, height } = this.svg.getBoundingClientRect();
    const [left, right, bottom, top] = [46, Math.max(width, 100) - 12, height - 26, 8];
    this.ends = [x, y];
    this.box = [[left, right], [bottom, top]]; // the same, in pixels
    setAttributes(this.svg.querySelector("rect"), { x: left, y: top, width: right - left, height: bottom - top + 2 });
    const text = (at, x, y, anchor) => `<text x="${x}" y="${y}" text-anchor="${anchor}">${short(at)}</text>`;
    const level = (at) => this.place(x[0], at)[1];
    const grid = ticks(...y, 4).map((at) =>
      `<path class="grid" d="M${left},${level(at)}H${right}"/>${text(at, left - 8, level(at) + 4, "end")}`);
    const below = ticks(...x, right - left > 350 ? 10 : 6);
    const scale = below.map((at) => text(at, this.place(at)[0], bottom + 20, "middle"));
    const drawn = (of, kind, d) => `<path class="${of} ${kind}" d="${d}"/>`;
    this.content.innerHTML = [
      `<defs>${fill}</defs>`, ...grid, ...scale, `<g clip-path="url(#${this.id}-clip)">`,
      ...areas.map((points) => drawn("area", "", `${this.path([[x[0], 0], ...points, [x[1], 0]])}Z`)),
      ...dots.map(([points, kind]) => drawn("dots", kind, points.map((point) => `${this.path([point])}h0`).join(""))),
      ...lines.map(([points, kind]) => drawn("line", kind, this.path(points))),
      "</g>",
    ].join("");
    this.drawHandles(handles);
  }

  drawHandles(shown) {
    this.shown = shown;
    const handle = '<path class="stem"/><circle class="reach" r="16"/><circle class="knob" r="6"/>';
    const missing = `<g class="handle" tabindex="0" role="slider">${handle}</g>`;
    while (this.handles.children.length > shown.length) this.handles.lastChild.remove();
    while (this.handles.children.length < shown.length) this.handles.insertAdjacentHTML("beforeend", missing);
    shown.forEach(({ x, y, name, free }, i) => {
      const group = this.handles.children[i];
      const [left, level] = this.place(x, y);
      const [bottom, top] = this.box[1];
      const [least, most] = this.ends[0];
      setAttributes(group, { transform: `translate(${left},${level})`, "aria-label": `${name} ${i + 1}` });
      setAttributes(group, { "aria-valuemin": least, "aria-valuemax": most, "aria-valuenow": x });
      setAttributes(group, { "aria-valuetext": `score ${short(x)}${free ? `, sensitivity ${short(y)}` : ""}` });
      setAttributes(group.firstChild, { d: free ? "" : `M0,${bottom - level}V${top - level}` });
    });
  }

  pointerdown(event) {
    event.target.setPointerCapture(event.pointerId);
  }

  pointermove(event) {
    if (!event.target.hasPointerCapture(event.pointerId)) return;
    const [x, y] = this.valuesAt(event);
    change(() => this.move([...this.handles.children].indexOf(event.target.parentNode), this.rounded(x), y));
  }

  keydown(event) {
    const i = [...this.handles.children].indexOf(event.target);
    const { x, y, free } = this.shown[i];
    const [across, up] = this.ends.map(([low, high]) => ((high - low) * (event.shiftKey ? 10 : 1)) / 100);
    const keys = { ArrowRight: [across, 0], ArrowLeft: [-across, 0] };
    Object.assign(keys, { ArrowUp: free ? [0, up] : keys.ArrowRight, ArrowDown: free ? [0, -up] : keys.ArrowLeft });
    const step = keys[event.key];
    if (step) {
      const to = [x + step[0], y + step[1]].map((value, axis) => clamp(value, ...this.ends[axis]));
      change(() => this.move(i, this.rounded(to[0]), to[1]));
    } else if (event.key === "Delete" && this.remove && this.shown.length > 1) {
      change(() => this.remove(i));
    } else return;
    event.preventDefault();
    this.handles.children[Math.min(i, this.shown.length - 1)].focus();
  }
}
