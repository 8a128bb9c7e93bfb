// The five planes of a separated joint: unsigned 16-bit values, 65535 is 1.

/**
 * Split the bytes of a joint into soft tissue, continued bones and masks.
 *
 * Bones are continued past the border of the frame by `geometry.margin` pixels on each side.
 */
export function splitPlanes(buffer, geometry) {
  const inner = geometry.width * geometry.height;
  const outer = (geometry.width + 2 * geometry.margin) * (geometry.height + 2 * geometry.margin);
  if (buffer.byteLength !== 2 * (3 * inner + 2 * outer)) {
    throw new Error(`The layers of ${geometry.name} are incomplete. Open the joint again.`);
  }
  const values = new Uint16Array(buffer);
  const planes = {};
  let start = 0;
  for (const [name, size] of [
    ["soft", inner],
    ["lower", outer],
    ["upper", outer],
    ["lowerMask", inner],
    ["upperMask", inner],
  ]) {
    planes[name] = values.subarray(start, start + size);
    start += size;
  }
  return planes;
}

/** Compose the radiograph of a joint whose bones are in place, as values between 0 and 1, row by row. */
export function composedAtRest(planes, geometry) {
  const { width, height, margin } = geometry;
  const outer = width + 2 * margin;
  const image = new Float32Array(width * height);
  for (let row = 0; row < height; row += 1) {
    for (let column = 0; column < width; column += 1) {
      const inside = row * width + column;
      const bone = (row + margin) * outer + column + margin;
      const passed =
        (1 - planes.soft[inside] / 65535) * (1 - planes.lower[bone] / 65535) * (1 - planes.upper[bone] / 65535);
      image[inside] = 1 - passed;
    }
  }
  return image;
}

/** Return the window from the lowest to the highest gray value of an image without its `fraction` of extreme pixels. */
export function automaticWindow(image, fraction = 0.005) {
  const sorted = Float32Array.from(image).sort();
  const low = sorted[Math.floor(fraction * (sorted.length - 1))];
  const high = sorted[Math.ceil((1 - fraction) * (sorted.length - 1))];
  return high - low > 0.01 ? [low, high] : [0, 1];
}

/**
 * Return the rectangle [left, top, right, bottom] in pixels that holds all values of a plane above zero.
 *
 * Sides on the border of the plane lie at infinity, as the outermost pixels repeat beyond it.
 */
export function occupiedBox(plane, width, height) {
  const box = [width, height, -1, -1];
  for (let index = 0; index < plane.length; index += 1) {
    if (plane[index] === 0) continue;
    const [column, row] = [index % width, Math.floor(index / width)];
    if (column < box[0]) box[0] = column;
    if (row < box[1]) box[1] = row;
    if (column > box[2]) box[2] = column;
    if (row > box[3]) box[3] = row;
  }
  const far = 1e6;
  return [
    box[0] > 0 ? box[0] : -far,
    box[1] > 0 ? box[1] : -far,
    box[2] < width - 1 ? box[2] : far,
    box[3] < height - 1 ? box[3] : far,
  ];
}

/**
 * Return a plane with the four values of a row that bicubic interpolation needs at each place: those at -1, 0, 1 and 2.
 *
 * Rows have three places more, from column -2 on; the outermost values repeat beyond the border.
 */
export function quadsOf(plane, width, height) {
  const quads = new Uint16Array(4 * (width + 3) * height);
  const last = width - 1;
  let next = 0;
  for (let start = 0; start < width * height; start += width) {
    for (let column = -2; column <= width; column += 1) {
      for (let tap = -1; tap <= 2; tap += 1) {
        quads[next] = plane[start + Math.min(Math.max(column + tap, 0), last)];
        next += 1;
      }
    }
  }
  return quads;
}
