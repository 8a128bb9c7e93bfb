// The dialog that exports joints as one HTML file.

import { postForFile } from "./api.js";
import { LARGEST_EXPORT, passes } from "./joints.js";
import { report } from "./status.js";
import { button, checkbox, element, saveFile, showDialog } from "./widgets.js";

const LISTED = 200;

/** Let the user choose joints of the list and save them as one file; `current` is chosen if none is. */
export function showExport(joints, current = null) {
  if (current !== null && joints.chosen.size === 0) joints.choose(current, true);
  const filter = element("input", { type: "search", placeholder: "Filter", "aria-label": "Filter the joints", oninput: () => list() });
  const lines = element("div", { class: "choices" });
  const count = element("p", { role: "status" });
  const fault = element("p", { class: "fault", role: "alert" });
  const send = button("Save as one file", () => save(), { class: "primary" });
  const list = () => lines.replaceChildren(...choices(joints, filter.value, tell));
  const tell = () => {
    count.textContent = `${joints.chosen.size} of at most ${LARGEST_EXPORT} joints chosen`;
    send.disabled = joints.chosen.size === 0;
  };
  const save = async () => {
    send.disabled = true;
    fault.textContent = "";
    count.textContent = "The file is made; joints that were not opened yet are separated first.";
    try {
      const file = await postForFile("/api/export", { ids: [...joints.chosen] }, "joints.html");
      saveFile(file.blob, file.name);
      report(`Saved ${file.name}.`);
      shown.close();
    } catch (error) {
      fault.textContent = error.message;
      tell();
    }
  };
  const none = button("Choose none", () => { joints.change(() => joints.chosen.clear()); list(); tell(); });
  const note = element("p", {}, "The file shows the chosen joints and moves their bones without this server.");
  const shown = showDialog("Export", element("div", { class: "export" }, note, filter, lines, count, fault), [none, send]);
  list();
  tell();
  filter.focus();
}

function choices(joints, text, tell) {
  const filter = { text, finger: "", grade: "", plausibility: "", measurement: "" };
  const usable = joints.visible().filter((row) => row.state !== "failed" && passes(row, filter));
  const first = [...usable.filter(({ id }) => joints.chosen.has(id)), ...usable.filter(({ id }) => !joints.chosen.has(id))];
  const lines = first.slice(0, LISTED).map((row) => choice(joints, row, tell));
  if (first.length > LISTED) lines.push(element("p", { class: "more" }, `${first.length - LISTED} more: filter to see them.`));
  return lines.length ? lines : [element("p", { class: "more" }, "No joint passes the filter.")];
}

function choice(joints, row, tell) {
  const parts = [row.name, row.hand, row.finger].filter(Boolean).join(", ");
  const made = checkbox(parts, joints.chosen.has(row.id), (wanted) => {
    if (!joints.choose(row.id, wanted)) made.control.checked = false;
    tell();
  });
  return made.element;
}
