// What is shown of a joint: motion, layers, marks and view. Panes and controls redraw when it changes.

import { STILL } from "./motion.js";

export const ZOOMS = Object.freeze([0.5, 40]);

const LEVELS = [-0.5, 1.5];
const WIDTHS = [0.01, 2];

function limited(value, [low, high]) {
  return Math.min(high, Math.max(low, value));
}

/** The state of the images of one joint. */
export class Scene {
  constructor() {
    this.listeners = new Set();
    this.motion = { ...STILL };
    this.layers = { soft: true, lower: true, upper: true };
    this.marks = { masks: false, surfaces: true, displacement: true };
    this.comparing = false;
    this.tool = "pan";
    this.fit();
    this.window = [0, 1];
    this.invert = false;
  }

  /** Call a function after each change; returns the function that ends it. */
  listen(listener) {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Edit the scene and redraw. */
  change(edit) {
    edit(this);
    this.listeners.forEach((listener) => listener(this));
  }

  /** Switch a layer, a mark or an option on or off. */
  toggle(group, name) {
    this.change(() => {
      this[group] = { ...this[group], [name]: !this[group][name] };
    });
  }

  /** Set one component of the motion in mm or degrees. */
  move(name, value) {
    this.change(() => {
      this.motion = { ...this.motion, [name]: value };
    });
  }

  /** Return all bones to their places. */
  rest() {
    this.change(() => {
      this.motion = { ...STILL };
    });
  }

  /** Zoom by a factor about a point, given in frame pixels from the centre of the pane at zoom 1. */
  zoomAbout(factor, [x, y]) {
    this.change(() => {
      const zoom = limited(this.zoom * factor, ZOOMS);
      const drift = 1 / zoom - 1 / this.zoom;
      this.pan = [this.pan[0] + x * drift, this.pan[1] + y * drift];
      this.zoom = zoom;
    });
  }

  /** Move the image by frame pixels at zoom 1. */
  panBy([x, y]) {
    this.change(() => {
      this.pan = [this.pan[0] + x / this.zoom, this.pan[1] + y / this.zoom];
    });
  }

  /** Change the window width by a factor and the level by a fraction of the width. */
  windowBy(factor, fraction) {
    const [low, high] = this.window;
    const width = limited((high - low) * factor, WIDTHS);
    this.setWindow((low + high) / 2 + fraction * width, width);
  }

  /** Set the level and width of the gray value window, as fractions of the full range. */
  setWindow(level, width) {
    const center = limited(level, LEVELS);
    const wide = limited(width, WIDTHS);
    this.change(() => {
      this.window = [center - wide / 2, center + wide / 2];
    });
  }

  /** Reset zoom, pan, window and inversion. */
  resetView() {
    this.change(() => {
      this.fit();
      this.window = [0, 1];
      this.invert = false;
    });
  }

  fit() {
    this.zoom = 1;
    this.pan = [0, 0];
  }
}
