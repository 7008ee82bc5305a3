// Lines over time, as SVG.

import { element } from "./dashboard.elements.js";

/** Room for the labels left of and below the lines, in pixels. */
const LEFT = 62;
const BELOW = 18;
const ABOVE = 6;

const svg = (tag, attributes = {}) => {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
};

/** The next power of ten. */
const power = value => 10 ** Math.ceil(Math.log10(value) - 1e-9);

/** The next of 1, 2, 5, 10, 20 and so on, or of the powers of two where they count bytes. */
function rounded(value, isBinary) {
  if (isBinary) return 2 ** Math.ceil(Math.log2(value));
  const size = 10 ** Math.floor(Math.log10(value));
  return size * [1, 2, 5, 10].find(step => step * size >= value * 0.999);
}

/**
 * A chart of some numbers of each sample. `series`: `[label, key]` each; `format`:
 * a number as text; `isLog`: equal steps for equal factors; `isBinary`: bytes;
 * `floor`: the least that the scale goes up to.
 */
export class Chart {
  #picture = svg("svg", { role: "img" });
  #grid = svg("g");
  #at = svg("line", { class: "at" });
  #paths;
  #area;
  #legend = element("div", { className: "legend" });
  #samples = [];
  #hovered = null;

  constructor(root, name, series, { format, isLog = false, isBinary = false, floor = 1 }) {
    Object.assign(this, { name, series, format, isLog, isBinary, floor });
    root.className = "chart";
    this.#paths = series.map((_, at) => svg("path", { class: `s${at}` }));
    // Under lines of equal factors an area means nothing.
    this.#area = isLog ? undefined : svg("path", { class: "area s0" });
    this.#picture.append(this.#grid, ...(this.#area ? [this.#area] : []), ...this.#paths.toReversed(), this.#at);
    root.append(this.#legend, this.#picture);
    this.#picture.addEventListener("pointermove", event => {
      this.#hovered = event.clientX - this.#picture.getBoundingClientRect().left;
      this.#draw();
    });
    this.#picture.addEventListener("pointerleave", () => {
      this.#hovered = null;
      this.#draw();
    });
    new ResizeObserver(() => this.#draw()).observe(this.#picture);
  }

  /** Samples with `at`, in Unix milliseconds, over a window of so many. */
  show(samples, windowMs) {
    this.#samples = samples;
    this.windowMs = windowMs;
    this.#draw();
  }

  #draw() {
    const { width, height } = this.#picture.getBoundingClientRect();
    if (!width || !this.windowMs) return;
    const samples = this.#samples;
    const end = samples.at(-1)?.at ?? Date.now();
    const x = at => LEFT + (width - LEFT - 4) * (1 - (end - at) / this.windowMs);
    const y = this.#scale(height);
    const lines = this.series.map(([, key]) => line(samples, key, x, y));
    lines.forEach((path, at) => this.#paths[at].setAttribute("d", path));
    this.#area?.setAttribute("d", area(lines[0], height - BELOW));
    this.#label(end, x, height);
    this.#tell(samples, x, height);
  }

  /** Draws the lines across; gives the height of a value. */
  #scale(height) {
    const values = this.#samples.flatMap(sample => this.series.map(([, key]) => sample[key])).filter(it => it > 0);
    const most = Math.max(this.floor, ...values);
    const top = this.isLog ? power(most) : rounded(most, this.isBinary);
    const bottom = this.isLog ? Math.min(top, power(Math.min(most, ...values))) / 10 : 0;
    const share = this.isLog
      ? value => Math.log(Math.max(value, bottom) / bottom) / Math.log(top / bottom)
      : value => value / top;
    const y = value => ABOVE + (height - ABOVE - BELOW) * (1 - share(value));
    const steps = [];
    if (this.isLog) for (let step = bottom; step <= top * 1.001; step *= 10) steps.push(step);
    else steps.push(0, top / 2, top);
    this.#grid.replaceChildren(...steps.flatMap(step => {
      const text = svg("text", { x: LEFT - 8, y: y(step) + 4, "text-anchor": "end" });
      text.textContent = this.format(step);
      return [svg("line", { class: "grid", x1: LEFT, x2: "100%", y1: y(step), y2: y(step) }), text];
    }));
    return y;
  }

  #label(end, x, height) {
    for (const minutes of [0, this.windowMs / 120_000, this.windowMs / 60_000]) {
      const at = end - minutes * 60_000;
      const anchor = minutes === 0 ? "end" : at <= end - this.windowMs ? "start" : "middle";
      const text = svg("text", { x: x(at), y: height - 3, "text-anchor": anchor });
      text.textContent = !minutes ? "now" : minutes < 1 ? `−${minutes * 60} s` : `−${minutes} min`;
      this.#grid.append(text);
    }
  }

  /** The numbers of the sample under the pointer, else of the newest. */
  #tell(samples, x, height) {
    const isHovered = this.#hovered !== null && samples.length > 0;
    const sample = isHovered
      ? samples.reduce((best, it) => (Math.abs(x(it.at) - this.#hovered) < Math.abs(x(best.at) - this.#hovered) ? it : best))
      : samples.at(-1);
    const told = this.series.map(([label, key]) => `${label} ${this.format(sample?.[key] ?? null)}`.trim());
    this.#legend.replaceChildren(...told.map((text, at) => element("span", { className: `s${at}` }, text)));
    if (isHovered) this.#legend.append(element("span", { className: "when" }, new Date(sample.at).toLocaleTimeString()));
    const at = isHovered ? x(sample.at) : -1;
    for (const [name, value] of [["x1", at], ["x2", at], ["y1", ABOVE], ["y2", height - BELOW]]) this.#at.setAttribute(name, value);
    if (!isHovered) this.#picture.setAttribute("aria-label", `${this.name}: ${told.join(", ")}`);
  }
}

/** Where a number is missing the line is, too. */
function line(samples, key, x, y) {
  let path = "";
  let isOpen = false;
  for (const sample of samples) {
    const value = sample[key];
    const isKnown = value !== null && value !== undefined;
    if (isKnown) path += `${isOpen ? "L" : "M"}${x(sample.at).toFixed(1)} ${y(value).toFixed(1)}`;
    isOpen = isKnown;
  }
  return path;
}

/** What is under a line, down to the bottom. */
function area(path, bottom) {
  return path.split("M").filter(Boolean).map(piece => {
    const points = piece.split("L");
    const [first, last] = [points[0], points.at(-1)].map(point => point.split(" ")[0]);
    return `M${first} ${bottom}L${piece}L${last} ${bottom}Z`;
  }).join("");
}
