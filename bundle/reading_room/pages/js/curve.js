// A plot of joint spaces over the visits of a patient.

const NAMESPACE = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT] = [288, 190, 34, 24, 8, 10];

/**
 * Plot the joint spaces of joints, mm over days, each with its standard deviation; the chosen joint stands out.
 *
 * Where a day is unknown, radiographs are numbered instead.
 */
export function plotted(joints, chosen) {
  const drawing = shape("svg", {
    viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
    role: "img",
    "aria-label": "Joint spaces over the visits",
  });
  const dated = joints.every(isDated);
  const known = joints.flatMap((joint) => placed(joint, dated));
  if (!known.length) {
    drawing.append(label(WIDTH / 2, HEIGHT / 2, "not measured yet", "middle"));
    return drawing;
  }
  const scale = { ...scales(known), dated };
  drawing.append(...axes(scale));
  for (const joint of joints) if (joint !== chosen) drawing.append(...line(joint, scale, "other"));
  drawing.append(...line(chosen, scale, "chosen"));
  return drawing;
}

/** Report whether the days of all radiographs of a joint are known. */
export function isDated({ visits }) {
  return visits.every(({ visit }) => visit !== null);
}

/** The measured radiographs of a joint, by day or by number. */
function placed({ visits }, dated) {
  return visits
    .map(({ visit, joint_space_mm: y, joint_space_sd_mm: sd }, place) => ({ x: dated ? visit : place + 1, y, sd }))
    .filter(({ y }) => y !== null);
}

function scales(points) {
  const across = range(
    points.map(({ x }) => x),
    0,
  );
  const up = range(
    points.flatMap(({ y, sd }) => [y - (sd ?? 0), y + (sd ?? 0)]),
    0.1,
  );
  return {
    across,
    up,
    x: (value) => LEFT + ((value - across[0]) / (across[1] - across[0])) * (WIDTH - LEFT - RIGHT),
    y: (value) => HEIGHT - BOTTOM - ((value - up[0]) / (up[1] - up[0])) * (HEIGHT - BOTTOM - TOP),
  };
}

function range(values, margin) {
  const [low, high] = [Math.min(...values) - margin, Math.max(...values) + margin];
  return high > low ? [low, high] : [low - 0.5, high + 0.5];
}

function axes({ across, up, x, y, dated }) {
  const heights = [up[0], (up[0] + up[1]) / 2, up[1]];
  const lines = heights.map((value) =>
    shape("line", { x1: LEFT, x2: WIDTH - RIGHT, y1: y(value), y2: y(value), class: "grid" }),
  );
  const texts = heights.map((value) => label(LEFT - 5, y(value) + 4, value.toFixed(1), "end"));
  const days = across.map((value, place) =>
    label(x(value), HEIGHT - 6, `${dated ? "day" : "no."} ${Math.round(value)}`, place ? "end" : "start"),
  );
  return [...lines, ...texts, ...days];
}

function line(joint, { x, y, dated }, kind) {
  const points = placed(joint, dated);
  const path = points.map((point) => `${x(point.x)},${y(point.y)}`).join(" ");
  const bars = points
    .filter(({ sd }) => sd)
    .map((point) =>
      shape("line", {
        x1: x(point.x),
        x2: x(point.x),
        y1: y(point.y - point.sd),
        y2: y(point.y + point.sd),
        class: kind,
      }),
    );
  const dots = points.map((point) =>
    shape("circle", { cx: x(point.x), cy: y(point.y), r: kind === "chosen" ? 3.5 : 2, class: kind }),
  );
  return [shape("polyline", { points: path, class: kind }), ...bars, ...dots];
}

function label(x, y, text, anchor) {
  const made = shape("text", { x, y, "text-anchor": anchor });
  made.textContent = text;
  return made;
}

function shape(name, attributes) {
  const made = document.createElementNS(NAMESPACE, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}
