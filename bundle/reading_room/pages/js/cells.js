// Columns and cells of the list of joints.

import { jointAddress } from "./api.js";
import { plausibilityName } from "./joints.js";
import { element } from "./widgets.js";

const THUMBNAIL_PX = 44;
const THUMBNAIL_DELAY_MS = 80;

/** Columns of the list; optional ones are shown where any joint has a value. */
export const COLUMNS = [
  { name: "name", title: "Name", width: "minmax(150px, 4fr)", cell: (row) => [named(row.name)] },
  {
    name: "patient",
    title: "Patient",
    width: "minmax(92px, 1fr)",
    optional: true,
    cell: (row) => [shown(row.patient)],
  },
  {
    name: "visit",
    title: "Day",
    hint: "Days since the first visit",
    width: "58px",
    optional: true,
    cell: (row) => [shown(row.visit)],
  },
  { name: "side", title: "Side", width: "58px", optional: true, cell: (row) => [shown(row.side)] },
  { name: "finger", title: "Finger", width: "minmax(70px, 1fr)", cell: (row) => [shown(row.finger)] },
  { name: "joint_space_mm", title: "Joint space (mm)", width: "140px", cell: (row) => [jointSpace(row)] },
  { name: "grade", title: "Grade", width: "68px", cell: (row) => [shown(row.grade)] },
  { name: "plausible", title: "Plausibility", width: "minmax(140px, 4fr)", cell: plausibility },
];

/** Make the thumbnail of a joint; it is loaded if the row stays in sight for a moment. */
export function thumbnail(row) {
  const frame = element("div", { class: "frame" });
  if (row.state !== "ready") return frame;
  const image = element("img", { alt: "", width: THUMBNAIL_PX, height: THUMBNAIL_PX, onerror: () => image.remove() });
  image.addEventListener("load", () => frame.classList.add("loaded"));
  setTimeout(() => {
    if (!frame.isConnected) return;
    image.src = jointAddress(row.id, "thumbnail");
    frame.append(image);
  }, THUMBNAIL_DELAY_MS);
  return frame;
}

/** Make the line above the joints of a hand. */
export function handLine(hand, count) {
  const joints = `${count} ${count === 1 ? "joint" : "joints"}`;
  const name = element(
    "div",
    { role: "gridcell" },
    hand || "Without a hand",
    element("span", { class: "count" }, joints),
  );
  return element("div", { class: "hand", role: "row" }, name);
}

function named(name) {
  return element("span", { title: name }, name);
}

function shown(value) {
  return value === null || value === undefined ? "\u2013" : String(value);
}

function jointSpace({ joint_space_mm: mean, joint_space_sd_mm: sd, state, refused }) {
  if (refused) return "refused";
  if (mean === null || mean === undefined) return state === "closed" ? "not opened" : "\u2013";
  return mean.toFixed(2) + (sd === null || sd === undefined ? "" : ` \u00b1 ${sd.toFixed(2)}`);
}

function plausibility(row) {
  if (row.state === "failed") return [tag("failed", "bad"), why(row.failure)];
  const name = plausibilityName(row);
  const reasons = (row.reasons ?? []).join("; ");
  const kind = { plausible: "good", doubtful: "doubtful", implausible: "bad" }[name];
  return [kind ? tag(name, kind) : "\u2013", reasons && why(reasons)];
}

function tag(text, kind) {
  return element("span", { class: `tag ${kind}` }, text);
}

function why(text) {
  return element("span", { class: "why", title: text }, text);
}
