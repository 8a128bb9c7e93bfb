// Two registered radiographs: in turn, as their difference, or side by side.

import { element } from "./widgets.js";

const PERIOD_MS = 600;
const FULL = 65535;
const STRONGEST_DIFFERENCE = 0.25;

/** View of a pair; the later radiograph is shown moved, with its lower bone on that of the earlier one. */
export class PairView {
  constructor() {
    this.canvases = [0, 1].map(() => element("canvas", { class: "whole" }));
    this.captions = [0, 1].map(() => element("div", { class: "caption" }));
    this.panes = [0, 1].map((side) => element("div", { class: "pane" }, this.canvases[side], this.captions[side]));
    this.element = element("div", { class: "panes pair" }, ...this.panes);
    this.kind = "blink";
    this.later = false;
    this.timer = setInterval(() => this.blinking && this.swap(), PERIOD_MS);
    this.blinking = true;
  }

  /** Show a pair: three planes of 16 bits, the earlier, the later and the moved later radiograph. */
  show(bytes, { height, width }) {
    const values = new Uint16Array(bytes);
    const size = height * width;
    Object.assign(this, { height, width });
    this.planes = [0, 1, 2].map((place) => values.subarray(place * size, (place + 1) * size));
    this.canvases.forEach((canvas) => Object.assign(canvas, { width, height }));
    this.draw();
  }

  /** Choose how the pair is shown: "blink", "difference" or "beside". */
  show_as(kind) {
    this.kind = kind;
    this.blinking = kind === "blink";
    this.draw();
  }

  /** Stop blinking and show the other radiograph. */
  turn() {
    if (this.kind !== "blink") return;
    this.blinking = false;
    this.swap();
  }

  /** Stop blinking. */
  close() {
    clearInterval(this.timer);
  }

  swap() {
    this.later = !this.later;
    this.draw();
  }

  draw() {
    this.panes[1].hidden = this.kind !== "beside";
    if (!this.planes) return;
    const [before, after, moved] = this.planes;
    if (this.kind === "beside") {
      this.paint(0, "Earlier", (at) => grey(before[at]));
      this.paint(1, "Later, as it was taken", (at) => grey(after[at]));
    } else if (this.kind === "blink") {
      this.paint(0, this.later ? "Later" : "Earlier", (at) => grey((this.later ? moved : before)[at]));
    } else {
      this.paint(0, "Later minus earlier: orange brighter, blue darker", (at) => difference(moved[at] - before[at]));
    }
  }

  paint(side, caption, colour) {
    const image = new ImageData(this.width, this.height);
    for (let at = 0; at < this.width * this.height; at += 1) image.data.set([...colour(at), 255], 4 * at);
    this.canvases[side].getContext("2d").putImageData(image, 0, 0);
    this.captions[side].textContent = caption;
  }
}

function grey(value) {
  const level = (value * 255) / FULL;
  return [level, level, level];
}

function difference(value) {
  const strength = Math.min(1, Math.abs(value) / FULL / STRONGEST_DIFFERENCE);
  return value > 0 ? [255 * strength, 140 * strength, 0] : [0, 120 * strength, 255 * strength];
}
