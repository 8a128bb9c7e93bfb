// A pane of one image: radiograph and marks, with zoom, pan and window/level by pointer.

import { Composition, NoWebGL, fittingScale } from "./composition.js";
import { Overlay } from "./overlay.js";
import { STILL } from "./motion.js";
import { isHeld } from "./keys.js";
import { element } from "./widgets.js";

const ZOOM_PER_WHEEL = 0.0015;
const MAIN_BUTTON = 0;
const RIGHT_BUTTON = 2;
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** Pane that shows a scene; `original` panes keep the bones in place and all layers on. */
export class Pane {
  constructor(scene, { original = false, label = "Radiograph", report = () => {} } = {}) {
    Object.assign(this, { scene, original });
    this.image = element("canvas", { class: "image" });
    this.marks = element("canvas", { class: "marks" });
    this.caption = element("div", { class: "caption" });
    this.values = element("div", { class: "values" });
    this.element = element(
      "div",
      { class: "pane", tabindex: "0", role: "application", "aria-label": label },
      this.image,
      this.marks,
      this.caption,
      this.values,
    );
    this.overlay = new Overlay(this.marks);
    this.composition = made(this.image, (message) => this.fail(message, report));
    this.observer = new ResizeObserver(() => this.resize());
    this.observer.observe(this.element);
    this.unlisten = scene.listen(() => this.request());
    this.image.addEventListener("webglcontextrestored", () => this.request());
    this.listenToPointer();
  }

  /** Show another joint. */
  setJoint(planes, geometry, caption) {
    this.geometry = geometry;
    this.caption.textContent = caption;
    this.composition?.setJoint(planes, geometry);
    this.overlay.setJoint(planes, geometry);
    this.request();
  }

  /** Draw in the next animation frame. */
  request() {
    if (this.requested) return;
    this.requested = requestAnimationFrame(() => {
      this.requested = 0;
      this.draw();
    });
  }

  /** Stop drawing and release the memory. */
  close() {
    cancelAnimationFrame(this.requested);
    this.observer.disconnect();
    this.unlisten();
    this.composition?.close();
  }

  draw() {
    const { scene, original } = this;
    if (!this.geometry) return;
    const view = { window: scene.window, invert: scene.invert, zoom: scene.zoom, pan: scene.pan };
    const motion = original ? STILL : scene.motion;
    const layers = original ? { soft: true, lower: true, upper: true } : scene.layers;
    this.composition?.draw({ ...motion, layers, ...view });
    this.overlay.draw({ ...motion, marks: scene.marks, ...view }, devicePixelRatio);
    this.values.textContent = viewText(scene);
  }

  resize() {
    const box = this.element.getBoundingClientRect();
    this.marks.width = Math.max(1, Math.round(box.width * devicePixelRatio));
    this.marks.height = Math.max(1, Math.round(box.height * devicePixelRatio));
    this.overlay.drawn = "";
    this.draw();
  }

  fail(message, report) {
    this.element.append(element("p", { class: "missing" }, message));
    report(message);
  }

  listenToPointer() {
    const pane = this.element;
    pane.addEventListener("contextmenu", (event) => event.preventDefault());
    pane.addEventListener("wheel", (event) => this.onWheel(event), { passive: false });
    pane.addEventListener("pointerdown", (event) => this.onPress(event));
    pane.addEventListener("pointermove", (event) => this.onDrag(event));
    for (const end of ["pointerup", "pointercancel"]) pane.addEventListener(end, () => this.endDrag());
    pane.addEventListener("dblclick", () => this.scene.change((scene) => scene.fit()));
    pane.addEventListener("keydown", (event) => this.onKey(event));
  }

  onWheel(event) {
    event.preventDefault();
    if (this.geometry) this.scene.zoomAbout(Math.exp(-event.deltaY * ZOOM_PER_WHEEL), this.fromCentre(event));
  }

  onPress(event) {
    const windowing = event.button === RIGHT_BUTTON || this.scene.tool === "window" || isHeld("w");
    this.drag = { windowing: windowing && event.button <= RIGHT_BUTTON, at: [event.clientX, event.clientY] };
    if (event.button === MAIN_BUTTON) this.element.focus({ preventScroll: true });
    this.element.setPointerCapture(event.pointerId);
  }

  onDrag(event) {
    if (!this.drag || !this.geometry) return;
    const moved = [event.clientX - this.drag.at[0], event.clientY - this.drag.at[1]];
    this.drag.at = [event.clientX, event.clientY];
    const box = this.element.getBoundingClientRect();
    if (this.drag.windowing) this.scene.windowBy(Math.exp((2 * moved[0]) / box.width), (moved[1] / box.height) * 1.5);
    else this.scene.panBy(moved.map((pixels) => pixels / this.cssScale()));
  }

  onKey(event) {
    const [x, y] = ARROWS[event.key] ?? [0, 0];
    if ((!x && !y) || !this.geometry || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    if (isHeld("w")) this.scene.windowBy(Math.exp(0.05 * x), 0.02 * y);
    else this.scene.panBy([-x, -y].map((step) => (step * 20) / this.cssScale()));
  }

  endDrag() {
    this.drag = null;
  }

  fromCentre(event) {
    const box = this.element.getBoundingClientRect();
    const scale = this.cssScale();
    return [(event.clientX - box.left - box.width / 2) / scale, (event.clientY - box.top - box.height / 2) / scale];
  }

  cssScale() {
    return fittingScale(this.element.getBoundingClientRect(), this.geometry);
  }
}

function made(canvas, fail) {
  try {
    return new Composition(canvas);
  } catch (error) {
    if (!(error instanceof NoWebGL)) throw error;
    fail(error.message);
    return null;
  }
}

function viewText({ window: [low, high], zoom }) {
  return `W ${Math.round(100 * (high - low))} %  L ${Math.round(50 * (low + high))} %  \u00d7${zoom.toFixed(2)}`;
}
