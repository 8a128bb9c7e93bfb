// Rigid motion of the two bones in pixels of the frame; the same convention as bundle/physics/motion.py.

export const LOWER_SHARE = -0.5;
export const UPPER_SHARE = 0.5;

export const STILL = Object.freeze({ change_mm: 0, sideways_mm: 0, rotation_deg: 0 });

const RADIANS = Math.PI / 180;

/** Return the unit vectors to the right and down of a joint whose axis is rotated clockwise from the vertical. */
export function jointAxes(axisDegrees) {
  const angle = (axisDegrees || 0) * RADIANS;
  return { right: [Math.cos(angle), Math.sin(angle)], down: [-Math.sin(angle), Math.cos(angle)] };
}

/**
 * Return the motion of one bone in pixels from the centre of the frame.
 *
 * `share` is the fraction of the motion that moves the bone, LOWER_SHARE or UPPER_SHARE. The rotation is clockwise on
 * the screen about `center`, before the translation.
 */
export function boneMotion(geometry, motion, share) {
  const { right, down } = jointAxes(geometry.axis_deg);
  const pixel = geometry.spacing_mm;
  const along = (axis) => (share * (motion.sideways_mm * right[axis] - motion.change_mm * down[axis])) / pixel;
  const [x, y] = geometry.centers_mm[share < 0 ? 0 : 1];
  const angle = share * motion.rotation_deg * RADIANS;
  return {
    cosine: Math.cos(angle),
    sine: Math.sin(angle),
    center: [x / pixel, y / pixel],
    shift: [along(0), along(1)],
  };
}

/** Move a point (column, row) of the frame with a bone. */
export function movedPoint(geometry, bone, [column, row]) {
  const middle = [(geometry.width - 1) / 2, (geometry.height - 1) / 2];
  const x = column - middle[0] - bone.center[0];
  const y = row - middle[1] - bone.center[1];
  return [
    bone.cosine * x - bone.sine * y + bone.center[0] + bone.shift[0] + middle[0],
    bone.sine * x + bone.cosine * y + bone.center[1] + bone.shift[1] + middle[1],
  ];
}

/** Report whether a motion leaves both bones in place. */
export function isStill(motion) {
  return motion.change_mm === 0 && motion.sideways_mm === 0 && motion.rotation_deg === 0;
}
