// Composition of a radiograph from its layers, 1 - (1 - soft)(1 - lower)(1 - upper), with moved bones, in WebGL 2.
//
// The canvas has the resolution of the frame; style sheets zoom and pan it.

import { LOWER_SHARE, STILL, UPPER_SHARE, boneMotion } from "./motion.js";
import { occupiedBox, quadsOf } from "./planes.js";

const CORNERS = `#version 300 es
void main() {
  vec2 corner = vec2(float((gl_VertexID << 1) & 2), float(gl_VertexID & 2));
  gl_Position = vec4(2.0 * corner - 1.0, 0.0, 1.0);
}`;

const CUBIC = `
const float A = -0.75;
const float SHARE = 0.9;
float near(float d) { return ((A + 2.0) * d - (A + 3.0)) * d * d + 1.0; }
float far(float d) { return ((A * d - 5.0 * A) * d + 8.0 * A) * d - 4.0 * A; }
vec4 cubic(float t) { return vec4(far(t + 1.0), near(t), near(1.0 - t), far(2.0 - t)); }
vec4 linear(float t) { return vec4(0.0, 1.0 - t, t, 0.0); }
float bicubic(usampler2D quads, vec2 position) {
  ivec2 last = textureSize(quads, 0) - 1;
  ivec2 corner = ivec2(floor(position));
  vec2 part = position - floor(position);
  vec4 across = cubic(part.x), along = cubic(part.y), acrossLine = linear(part.x), alongLine = linear(part.y);
  int column = clamp(corner.x + 2, 0, last.x);
  float sum = 0.0;
  for (int tap = 0; tap < 4; tap++) {
    int row = clamp(corner.y + tap - 1, 0, last.y);
    vec4 values = vec4(texelFetch(quads, ivec2(column, row), 0));
    sum += SHARE * along[tap] * dot(across, values) + (1.0 - SHARE) * alongLine[tap] * dot(acrossLine, values);
  }
  return clamp(sum / 65535.0, 0.0, 1.0);
}`;

const COMPOSE = `#version 300 es
precision highp float;
precision highp int;
precision highp usampler2D;
uniform usampler2D soft, lower, upper;
uniform vec2 size;
uniform float margin;
uniform bvec3 layers;
uniform vec2 turn[2];
uniform vec2 center[2];
uniform vec2 shift[2];
uniform vec4 box[2];
uniform vec2 window;
uniform bool inverted;
out vec4 color;
${CUBIC}
float moved(usampler2D plane, vec2 position, int bone) {
  vec2 d = position - center[bone] - shift[bone];
  vec2 source = vec2(turn[bone].x * d.x + turn[bone].y * d.y, turn[bone].x * d.y - turn[bone].y * d.x) + center[bone];
  source += (size - 1.0) / 2.0 + margin;
  if (any(lessThan(source, box[bone].xy - 2.0)) || any(greaterThan(source, box[bone].zw + 2.0))) return 0.0;
  return bicubic(plane, source);
}
void main() {
  ivec2 pixel = ivec2(gl_FragCoord.x, size.y - gl_FragCoord.y);
  vec2 position = vec2(pixel) - (size - 1.0) / 2.0;
  float passed = 1.0;
  if (layers.x) passed *= 1.0 - float(texelFetch(soft, pixel, 0).r) / 65535.0;
  if (layers.y) passed *= 1.0 - moved(lower, position, 0);
  if (layers.z) passed *= 1.0 - moved(upper, position, 1);
  float gray = clamp((1.0 - passed - window.x) / (window.y - window.x), 0.0, 1.0);
  color = vec4(vec3(inverted ? 1.0 - gray : gray), 1.0);
}`;

const FULL_VIEW = Object.freeze({ window: [0, 1], invert: false });
const ALL_LAYERS = Object.freeze({ soft: true, lower: true, upper: true });

/** Error of a browser that cannot show images. */
export class NoWebGL extends Error {
  constructor() {
    super("This browser has no WebGL 2, which the images need. Update it, or allow hardware acceleration.");
  }
}

/** Return the number of pixels of a pane per pixel of the frame at which the frame fits the pane at zoom 1. */
export function fittingScale({ width, height }, geometry) {
  return Math.min(width / geometry.width, height / geometry.height);
}

/** Renderer of one joint on a canvas; it restores itself after a lost context. */
export class Composition {
  constructor(canvas) {
    this.canvas = canvas;
    this.gl = canvas.getContext("webgl2", { alpha: false, antialias: false, depth: false, stencil: false });
    if (!this.gl) throw new NoWebGL();
    this.settings = { ...STILL, layers: ALL_LAYERS, ...FULL_VIEW };
    canvas.addEventListener("webglcontextlost", (event) => event.preventDefault());
    canvas.addEventListener("webglcontextrestored", () => this.restore());
    this.build();
  }

  /** Load the planes of a joint (see splitPlanes) with its geometry. */
  setJoint(planes, geometry) {
    const [wide, high] = [geometry.width + 2 * geometry.margin, geometry.height + 2 * geometry.margin];
    Object.assign(this, { planes, geometry });
    this.boxes = ["lower", "upper"].flatMap((name) => occupiedBox(planes[name], wide, high));
    this.quads = { lower: quadsOf(planes.lower, wide, high), upper: quadsOf(planes.upper, wide, high) };
    Object.assign(this.canvas, { width: geometry.width, height: geometry.height });
    if (!this.gl.isContextLost()) this.upload();
  }

  /** Draw the joint with a motion, layers and window; zoom 1 fits the parent element, pan is in frame pixels. */
  draw(settings) {
    this.settings = { ...this.settings, ...settings };
    if (!this.geometry || this.gl.isContextLost()) return;
    const { zoom, pan, ...content } = this.settings;
    if (JSON.stringify(content) !== this.drawn) this.compose(null, content);
    this.drawn = JSON.stringify(content);
    if (zoom) this.place(zoom, pan);
  }

  /** Return the gray values of the frame as drawn last, but with the full window: one byte per pixel, row by row. */
  pixels() {
    const {
      gl,
      geometry: { width, height },
    } = this;
    const target = this.texture(gl.RGBA8, gl.RGBA, gl.UNSIGNED_BYTE, width, height, null);
    const buffer = gl.createFramebuffer();
    gl.bindFramebuffer(gl.FRAMEBUFFER, buffer);
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, target, 0);
    this.compose(buffer, { ...this.settings, ...FULL_VIEW });
    const bytes = new Uint8Array(4 * width * height);
    gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, bytes);
    gl.deleteFramebuffer(buffer);
    gl.deleteTexture(target);
    const gray = (_, index) => bytes[4 * ((height - 1 - Math.floor(index / width)) * width + (index % width))];
    return Uint8Array.from({ length: width * height }, gray);
  }

  /** Release the memory of the joint on the graphics card. */
  close() {
    this.gl.getExtension("WEBGL_lose_context")?.loseContext();
  }

  restore() {
    this.build();
    if (this.planes) this.upload();
    this.draw({});
  }

  place(zoom, pan) {
    const { clientWidth: width, clientHeight: height } = this.canvas.parentElement;
    const scale = fittingScale({ width, height }, this.geometry) * zoom;
    const start = (whole, side, moved) => whole / 2 + scale * (moved - side / 2);
    const [x, y] = [start(width, this.geometry.width, pan[0]), start(height, this.geometry.height, pan[1])];
    this.canvas.style.transform = `translate(${x}px, ${y}px) scale(${scale})`;
  }

  build() {
    const gl = this.gl;
    this.program = linked(gl, COMPOSE);
    this.textures = {};
    gl.bindVertexArray(gl.createVertexArray());
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 2);
    gl.disable(gl.DITHER);
  }

  upload() {
    this.drawn = "";
    const {
      gl,
      geometry: { width, height, margin },
    } = this;
    const [wide, high] = [width + 2 * margin, height + 2 * margin];
    const limit = gl.getParameter(gl.MAX_TEXTURE_SIZE);
    if (Math.max(wide + 3, high) > limit)
      throw new Error(`The radiograph is larger than the ${limit} pixels that this browser shows.`);
    Object.values(this.textures).forEach((texture) => gl.deleteTexture(texture));
    const bone = (name) =>
      this.texture(gl.RGBA16UI, gl.RGBA_INTEGER, gl.UNSIGNED_SHORT, wide + 3, high, this.quads[name]);
    this.textures = {
      soft: this.texture(gl.R16UI, gl.RED_INTEGER, gl.UNSIGNED_SHORT, width, height, this.planes.soft),
      lower: bone("lower"),
      upper: bone("upper"),
    };
  }

  texture(stored, format, type, width, height, values) {
    const gl = this.gl;
    const texture = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, texture);
    gl.texImage2D(gl.TEXTURE_2D, 0, stored, width, height, 0, format, type, values);
    for (const side of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER])
      gl.texParameteri(gl.TEXTURE_2D, side, gl.NEAREST);
    for (const side of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T]) gl.texParameteri(gl.TEXTURE_2D, side, gl.CLAMP_TO_EDGE);
    return texture;
  }

  compose(buffer, { layers, window, invert, ...motion }) {
    const {
      gl,
      geometry,
      program: { program, place },
    } = this;
    const bones = [LOWER_SHARE, UPPER_SHARE].map((share) => boneMotion(geometry, motion, share));
    gl.useProgram(program);
    gl.uniform2f(place("size"), geometry.width, geometry.height);
    gl.uniform1f(place("margin"), geometry.margin);
    gl.uniform3i(place("layers"), layers.soft, layers.lower, layers.upper);
    gl.uniform2fv(
      place("turn"),
      bones.flatMap((bone) => [bone.cosine, bone.sine]),
    );
    gl.uniform2fv(
      place("center"),
      bones.flatMap((bone) => bone.center),
    );
    gl.uniform2fv(
      place("shift"),
      bones.flatMap((bone) => bone.shift),
    );
    gl.uniform4fv(place("box"), this.boxes);
    gl.uniform2f(place("window"), ...window);
    gl.uniform1i(place("inverted"), invert ? 1 : 0);
    this.run(buffer, place);
  }

  run(buffer, place) {
    const {
      gl,
      geometry: { width, height },
    } = this;
    Object.entries(this.textures).forEach(([name, texture], unit) => {
      gl.activeTexture(gl.TEXTURE0 + unit);
      gl.bindTexture(gl.TEXTURE_2D, texture);
      gl.uniform1i(place(name), unit);
    });
    gl.bindFramebuffer(gl.FRAMEBUFFER, buffer);
    gl.viewport(0, 0, width, height);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
  }
}

function linked(gl, fragment) {
  const program = gl.createProgram();
  for (const [kind, source] of [
    [gl.VERTEX_SHADER, CORNERS],
    [gl.FRAGMENT_SHADER, fragment],
  ]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS) && !gl.isContextLost()) {
    const reports = gl.getAttachedShaders(program).map((shader) => gl.getShaderInfoLog(shader));
    throw new Error(
      `The shaders of the image cannot be used: ${[gl.getProgramInfoLog(program), ...reports].join(" ")}`,
    );
  }
  const places = new Map();
  const place = (name) => {
    if (!places.has(name)) places.set(name, gl.getUniformLocation(program, name));
    return places.get(name);
  };
  return { program, place };
}
