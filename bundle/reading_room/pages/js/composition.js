// Composition of a radiograph from its layers, 1 - (1 - soft)(1 - lower)(1 - upper), with moved bones, in WebGL2.
//
// The first pass composes the frame at its own resolution into 16 bits; the second shows it with window, zoom and pan.

import { LOWER_SHARE, STILL, UPPER_SHARE, boneMotion } from "./motion.js";

const CORNERS = `#version 300 es
void main() {
  vec2 corner = vec2(float((gl_VertexID << 1) & 2), float(gl_VertexID & 2));
  gl_Position = vec4(2.0 * corner - 1.0, 0.0, 1.0);
}`;

const CUBIC = `
const float A = -0.75;
float near(float d) { return ((A + 2.0) * d - (A + 3.0)) * d * d + 1.0; }
float far(float d) { return ((A * d - 5.0 * A) * d + 8.0 * A) * d - 4.0 * A; }
vec4 weights(float t) { return vec4(far(t + 1.0), near(t), near(1.0 - t), far(2.0 - t)); }
float bicubic(usampler2D plane, vec2 position) {
  ivec2 last = textureSize(plane, 0) - 1;
  ivec2 corner = ivec2(floor(position));
  vec4 across = weights(position.x - floor(position.x));
  vec4 along = weights(position.y - floor(position.y));
  ivec4 columns = clamp(ivec4(-1, 0, 1, 2) + corner.x, 0, last.x);
  float sum = 0.0;
  for (int tap = 0; tap < 4; tap++) {
    int row = clamp(corner.y + tap - 1, 0, last.y);
    vec4 values = vec4(texelFetch(plane, ivec2(columns.x, row), 0).r, texelFetch(plane, ivec2(columns.y, row), 0).r,
                       texelFetch(plane, ivec2(columns.z, row), 0).r, texelFetch(plane, ivec2(columns.w, row), 0).r);
    sum += along[tap] * dot(across, values);
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
out uvec4 composed;
${CUBIC}
float moved(usampler2D plane, vec2 position, int bone) {
  vec2 d = position - center[bone] - shift[bone];
  vec2 source = vec2(turn[bone].x * d.x + turn[bone].y * d.y, turn[bone].x * d.y - turn[bone].y * d.x) + center[bone];
  return bicubic(plane, source + (size - 1.0) / 2.0 + margin);
}
void main() {
  ivec2 pixel = ivec2(gl_FragCoord.xy);
  vec2 position = vec2(pixel) - (size - 1.0) / 2.0;
  float passed = 1.0;
  if (layers.x) passed *= 1.0 - float(texelFetch(soft, pixel, 0).r) / 65535.0;
  if (layers.y) passed *= 1.0 - moved(lower, position, 0);
  if (layers.z) passed *= 1.0 - moved(upper, position, 1);
  composed = uvec4(uint((1.0 - passed) * 65535.0 + 0.5), 0u, 0u, 1u);
}`;

const SHOW = `#version 300 es
precision highp float;
precision highp int;
precision highp usampler2D;
uniform usampler2D frame;
uniform vec2 size;
uniform vec2 view;
uniform vec2 pan;
uniform float scale;
uniform vec2 window;
uniform bool inverted;
out vec4 color;
${CUBIC}
void main() {
  vec2 screen = vec2(gl_FragCoord.x, view.y - gl_FragCoord.y) - view / 2.0;
  vec2 position = screen / scale - pan + (size - 1.0) / 2.0;
  if (any(lessThan(position, vec2(-0.5))) || any(greaterThanEqual(position, size - 0.5))) { color = vec4(0.0); return; }
  float gray = clamp((bicubic(frame, position) - window.x) / (window.y - window.x), 0.0, 1.0);
  color = vec4(vec3(inverted ? 1.0 - gray : gray), 1.0);
}`;

const FULL_VIEW = Object.freeze({ window: [0, 1], invert: false, zoom: 1, pan: [0, 0] });
const ALL_LAYERS = Object.freeze({ soft: true, lower: true, upper: true });

/** Error of a browser that cannot show images. */
export class NoWebGL extends Error {
  constructor() {
    super("This browser has no WebGL 2, which the images need. Update it, or turn on hardware acceleration in its settings.");
  }
}

/** Return the number of device pixels per frame pixel at which a frame at zoom 1 fits a canvas. */
export function fittingScale(canvas, geometry) {
  return Math.min(canvas.width / geometry.width, canvas.height / geometry.height);
}

/** Renderer of one joint on a canvas; it restores itself after a lost context. */
export class Composition {
  constructor(canvas) {
    this.canvas = canvas;
    this.gl = canvas.getContext("webgl2", { alpha: true, antialias: false, depth: false, stencil: false });
    if (!this.gl) throw new NoWebGL();
    this.settings = { ...STILL, layers: ALL_LAYERS, ...FULL_VIEW };
    canvas.addEventListener("webglcontextlost", (event) => event.preventDefault());
    canvas.addEventListener("webglcontextrestored", () => this.restore());
    this.build();
  }

  /** Load the planes of a joint (see splitPlanes) with its geometry. */
  setJoint(planes, geometry) {
    this.planes = planes;
    this.geometry = geometry;
    if (!this.gl.isContextLost()) this.upload();
  }

  /** Draw the joint with a motion, layers, window, zoom (1 fits the canvas) and pan (in frame pixels). */
  draw(settings) {
    this.settings = { ...this.settings, ...settings };
    if (!this.geometry || this.gl.isContextLost()) return;
    this.compose();
    const scale = fittingScale(this.canvas, this.geometry) * this.settings.zoom;
    this.show(null, this.canvas.width, this.canvas.height, { ...this.settings, scale });
  }

  /** Return the gray values of the frame last drawn, one byte per pixel, row by row, with the full window. */
  pixels() {
    const { gl, geometry: { width, height } } = this;
    const target = this.frameTexture(gl.RGBA8, gl.RGBA, gl.UNSIGNED_BYTE, width, height, null);
    const buffer = this.buffer(target);
    this.show(buffer, width, height, { ...FULL_VIEW, scale: 1 });
    const bytes = new Uint8Array(4 * width * height);
    gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, bytes);
    gl.deleteFramebuffer(buffer);
    gl.deleteTexture(target);
    const gray = new Uint8Array(width * height);
    for (let index = 0; index < gray.length; index += 1) {
      const row = Math.floor(index / width);
      gray[index] = bytes[4 * ((height - 1 - row) * width + (index % width))];
    }
    return gray;
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

  build() {
    const gl = this.gl;
    this.composing = linked(gl, COMPOSE);
    this.showing = linked(gl, SHOW);
    this.textures = {};
    gl.bindVertexArray(gl.createVertexArray());
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 2);
    gl.disable(gl.BLEND);
    gl.disable(gl.DITHER);
  }

  upload() {
    const { gl, geometry: { width, height, margin } } = this;
    const [wide, high] = [width + 2 * margin, height + 2 * margin];
    const limit = gl.getParameter(gl.MAX_TEXTURE_SIZE);
    if (Math.max(wide, high) > limit) throw new Error(`The radiograph is larger than the ${limit} pixels that this browser shows.`);
    Object.values(this.textures).forEach((texture) => gl.deleteTexture(texture));
    gl.deleteFramebuffer(this.frame);
    const plane = (...given) => this.frameTexture(gl.R16UI, gl.RED_INTEGER, gl.UNSIGNED_SHORT, ...given);
    this.textures = {
      soft: plane(width, height, this.planes.soft), lower: plane(wide, high, this.planes.lower),
      upper: plane(wide, high, this.planes.upper), frame: plane(width, height, null),
    };
    this.frame = this.buffer(this.textures.frame);
  }

  frameTexture(stored, format, type, width, height, values) {
    const gl = this.gl;
    const texture = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, texture);
    gl.texImage2D(gl.TEXTURE_2D, 0, stored, width, height, 0, format, type, values);
    for (const side of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D, side, gl.NEAREST);
    for (const side of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T]) gl.texParameteri(gl.TEXTURE_2D, side, gl.CLAMP_TO_EDGE);
    return texture;
  }

  buffer(texture) {
    const gl = this.gl;
    const buffer = gl.createFramebuffer();
    gl.bindFramebuffer(gl.FRAMEBUFFER, buffer);
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, texture, 0);
    return buffer;
  }

  compose() {
    const { gl, geometry, settings, composing: { program, place } } = this;
    const bones = [LOWER_SHARE, UPPER_SHARE].map((share) => boneMotion(geometry, settings, share));
    gl.useProgram(program);
    gl.uniform2f(place("size"), geometry.width, geometry.height);
    gl.uniform1f(place("margin"), geometry.margin);
    gl.uniform3i(place("layers"), settings.layers.soft, settings.layers.lower, settings.layers.upper);
    gl.uniform2fv(place("turn"), bones.flatMap((bone) => [bone.cosine, bone.sine]));
    gl.uniform2fv(place("center"), bones.flatMap((bone) => bone.center));
    gl.uniform2fv(place("shift"), bones.flatMap((bone) => bone.shift));
    this.run(this.frame, geometry.width, geometry.height, place, ["soft", "lower", "upper"]);
  }

  show(buffer, width, height, { window, invert, scale, pan }) {
    const { gl, geometry, showing: { program, place } } = this;
    gl.useProgram(program);
    gl.uniform2f(place("size"), geometry.width, geometry.height);
    gl.uniform2f(place("view"), width, height);
    gl.uniform2f(place("pan"), ...pan);
    gl.uniform1f(place("scale"), scale);
    gl.uniform2f(place("window"), ...window);
    gl.uniform1i(place("inverted"), invert ? 1 : 0);
    this.run(buffer, width, height, place, ["frame"]);
  }

  run(buffer, width, height, place, planes) {
    const gl = this.gl;
    planes.forEach((name, unit) => {
      gl.activeTexture(gl.TEXTURE0 + unit);
      gl.bindTexture(gl.TEXTURE_2D, this.textures[name]);
      gl.uniform1i(place(name), unit);
    });
    gl.bindFramebuffer(gl.FRAMEBUFFER, buffer);
    gl.viewport(0, 0, width, height);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
  }
}

function linked(gl, fragment) {
  const program = gl.createProgram();
  for (const [kind, source] of [[gl.VERTEX_SHADER, CORNERS], [gl.FRAGMENT_SHADER, fragment]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS) && !gl.isContextLost()) {
    const reports = gl.getAttachedShaders(program).map((shader) => gl.getShaderInfoLog(shader));
    throw new Error(`The shaders of the image cannot be used: ${[gl.getProgramInfoLog(program), ...reports].join(" ")}`);
  }
  const places = new Map();
  const place = (name) => {
    if (!places.has(name)) places.set(name, gl.getUniformLocation(program, name));
    return places.get(name);
  };
  return { program, place };
}
