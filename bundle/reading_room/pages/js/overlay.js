// Marks over a radiograph: outlines of the masks, joint surfaces, displacement and scale, on a 2D canvas.

import { LOWER_SHARE, UPPER_SHARE, boneMotion, isStill, movedPoint } from "./motion.js";
import { fittingScale } from "./composition.js";

const COLORS = {
  lowerMask: "#ff9b45",
  upperMask: "#58a9ff",
  head: "#ffe066",
  floor: "#6be4ff",
  before: "#ffffffb0",
  scale: "#ffffffd0",
};
const SCALE_MM = [1, 2, 5, 10, 20];

/** Trace the half level of a mask by marching squares, as a path in pixels of the frame. */
export function maskOutline(mask, width, height) {
  const path = new Path2D();
  const level = 32767.5;
  const crossing = (low, high) => (level - low) / (high - low);
  for (let row = 0; row + 1 < height; row += 1) {
    for (let column = 0; column + 1 < width; column += 1) {
      const start = row * width + column;
      const [a, b, c, d] = [mask[start], mask[start + 1], mask[start + width + 1], mask[start + width]];
      const inside = (a > level) + (b > level) + (c > level) + (d > level);
      if (inside === 0 || inside === 4) continue;
      const points = [];
      if (a > level !== b > level) points.push([column + crossing(a, b), row]);
      if (b > level !== c > level) points.push([column + 1, row + crossing(b, c)]);
      if (d > level !== c > level) points.push([column + crossing(d, c), row + 1]);
      if (a > level !== d > level) points.push([column, row + crossing(a, d)]);
      for (let end = 0; end + 1 < points.length; end += 2) {
        path.moveTo(...points[end]);
        path.lineTo(...points[end + 1]);
      }
    }
  }
  return path;
}

/** Return the mean point of a joint surface in its measured window. */
export function middlePoint(points, window) {
  const measured = points.filter((_, index) => window[index]);
  const sum = measured.reduce(([x, y], point) => [x + point[0], y + point[1]], [0, 0]);
  return sum.map((value) => value / measured.length);
}

/** Marks of one joint, drawn with the motion, zoom and pan of its radiograph. */
export class Overlay {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d", { willReadFrequently: true });
  }

  /** Load the masks and surfaces of a joint. */
  setJoint(planes, geometry) {
    this.drawn = "";
    this.geometry = geometry;
    this.outlines = ["lowerMask", "upperMask"].map((name) =>
      maskOutline(planes[name], geometry.width, geometry.height),
    );
    const found = geometry.surfaces;
    this.surfaces = found
      ? { head: surfacePaths(found.head, found.window), floor: surfacePaths(found.floor, found.window) }
      : null;
  }

  /** Draw the marks that are switched on: masks, surfaces, displacement; `ratio` is device pixels per CSS pixel. */
  draw({ change_mm, sideways_mm, rotation_deg, marks, zoom, pan }, ratio = 1) {
    const { context, canvas } = this;
    const settings = { change_mm, sideways_mm, rotation_deg, marks, zoom, pan };
    const drawn = JSON.stringify([settings, ratio, canvas.width, canvas.height]);
    if (drawn === this.drawn) return;
    this.drawn = drawn;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    if (!this.geometry) return;
    this.ratio = ratio;
    this.screen = screenMatrix(this.canvas, this.geometry, settings);
    this.bones = [LOWER_SHARE, UPPER_SHARE].map((share) => boneMotion(this.geometry, settings, share));
    context.save();
    this.clipToFrame();
    if (settings.marks.masks) this.drawMasks();
    if (settings.marks.surfaces) this.drawSurfaces();
    if (settings.marks.displacement) this.drawDisplacement(settings);
    context.restore();
    this.drawScale();
  }

  clipToFrame() {
    const { width, height } = this.geometry;
    const [left, top] = this.onScreen([-0.5, -0.5]);
    const [right, bottom] = this.onScreen([width - 0.5, height - 0.5]);
    this.context.beginPath();
    this.context.rect(left, top, right - left, bottom - top);
    this.context.clip();
  }

  drawMasks() {
    this.outlines.forEach((outline, bone) =>
      this.stroke(outline, this.bones[bone], COLORS[bone ? "upperMask" : "lowerMask"], 1.25),
    );
  }

  drawSurfaces() {
    if (!this.surfaces) return;
    ["head", "floor"].forEach((name, bone) => {
      this.stroke(this.surfaces[name].whole, this.bones[bone], COLORS[name], 1, [], 0.65);
      this.stroke(this.surfaces[name].measured, this.bones[bone], COLORS[name], 2.25);
    });
  }

  drawDisplacement(settings) {
    if (!isStill(settings)) this.drawBefore();
    const found = this.geometry.surfaces;
    if (!found || !found.window.some(Boolean)) return;
    const ends = ["head", "floor"].map((name, bone) =>
      this.onScreen(movedPoint(this.geometry, this.bones[bone], middlePoint(found[name], found.window))),
    );
    this.drawDimension(ends, displacementText(this.geometry, settings));
  }

  drawBefore() {
    const still = { cosine: 1, sine: 0, center: [0, 0], shift: [0, 0] };
    const paths = this.surfaces ? [this.surfaces.head.whole, this.surfaces.floor.whole] : this.outlines;
    paths.forEach((path) => this.stroke(path, still, COLORS.before, 1, [4, 4]));
  }

  drawDimension([start, end], text) {
    const context = this.context;
    const length = Math.hypot(end[0] - start[0], end[1] - start[1]) || 1;
    const tick = [(-4 * this.ratio * (end[1] - start[1])) / length, (4 * this.ratio * (end[0] - start[0])) / length];
    context.beginPath();
    context.moveTo(...start);
    context.lineTo(...end);
    for (const [x, y] of [start, end]) {
      context.moveTo(x - tick[0], y - tick[1]);
      context.lineTo(x + tick[0], y + tick[1]);
    }
    context.strokeStyle = "#ffffff";
    context.lineWidth = 1.25 * this.ratio;
    context.stroke();
    this.write(text, (start[0] + end[0]) / 2 + 9 * this.ratio, (start[1] + end[1]) / 2);
  }

  drawScale() {
    const perMillimetre = this.screen.a / this.geometry.spacing_mm;
    const room = Math.min(this.canvas.width / 4, 120 * this.ratio);
    const length = SCALE_MM.filter((each) => each * perMillimetre <= room).pop();
    if (!length) return;
    const [left, bottom] = [12 * this.ratio, this.canvas.height - 12 * this.ratio];
    const [right, tick] = [left + length * perMillimetre, 5 * this.ratio];
    const context = this.context;
    context.beginPath();
    context.moveTo(left, bottom - tick);
    context.lineTo(left, bottom);
    context.lineTo(right, bottom);
    context.lineTo(right, bottom - tick);
    context.strokeStyle = COLORS.scale;
    context.lineWidth = this.ratio;
    context.stroke();
    this.write(`${length} mm`, right + 7 * this.ratio, bottom - tick);
  }

  write(text, x, y) {
    const context = this.context;
    context.font = `${12 * this.ratio}px system-ui, sans-serif`;
    context.textBaseline = "middle";
    context.lineWidth = 3 * this.ratio;
    context.lineJoin = "round";
    context.strokeStyle = "#000000c0";
    context.strokeText(text, x, y);
    context.fillStyle = "#ffffff";
    context.fillText(text, x, y);
  }

  stroke(path, bone, color, thickness, dashes = [], opacity = 1) {
    const moved = new Path2D();
    moved.addPath(path, this.screen.multiply(boneMatrix(this.geometry, bone)));
    const context = this.context;
    context.strokeStyle = color;
    context.globalAlpha = opacity;
    context.lineWidth = thickness * this.ratio;
    context.lineCap = "round";
    context.setLineDash(dashes.map((dash) => dash * this.ratio));
    context.stroke(moved);
    context.setLineDash([]);
    context.globalAlpha = 1;
  }

  onScreen([column, row]) {
    const point = this.screen.transformPoint({ x: column, y: row });
    return [point.x, point.y];
  }
}

/** Describe the joint space after a motion, or its change where the measurement is refused. */
export function displacementText(geometry, motion) {
  const measured = geometry.joint_space_mm;
  if (measured === null || geometry.refused) return `${signed(motion.change_mm)} mm`;
  return `${(measured + motion.change_mm).toFixed(2)} mm`;
}

function signed(value) {
  return `${value < 0 ? "\u2212" : "+"}${Math.abs(value).toFixed(2)}`;
}

function surfacePaths(points, window) {
  const paths = { whole: new Path2D(), measured: new Path2D() };
  points.forEach((point, index) => {
    if (index === 0) paths.whole.moveTo(...point);
    else paths.whole.lineTo(...point);
    if (!window[index]) return;
    if (window[index - 1]) paths.measured.lineTo(...point);
    else paths.measured.moveTo(...point);
  });
  return paths;
}

function screenMatrix(canvas, geometry, { zoom, pan }) {
  const scale = fittingScale(canvas, geometry) * zoom;
  return new DOMMatrix()
    .translate(canvas.width / 2, canvas.height / 2)
    .scale(scale)
    .translate(pan[0] - (geometry.width - 1) / 2, pan[1] - (geometry.height - 1) / 2);
}

function boneMatrix(geometry, { cosine, sine, center, shift }) {
  const [x, y] = [center[0] + (geometry.width - 1) / 2, center[1] + (geometry.height - 1) / 2];
  return new DOMMatrix()
    .translate(x + shift[0], y + shift[1])
    .multiply(new DOMMatrix([cosine, sine, -sine, cosine, 0, 0]))
    .translate(-x, -y);
}
