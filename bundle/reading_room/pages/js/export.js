// The dialog that exports joints as one HTML file.

import { postForFile } from "./api.js";
import { LARGEST_EXPORT, passes } from "./joints.js";
import { report } from "./status.js";
import { button, checkbox, element, saveFile, showDialog } from "./widgets.js";

const LISTED = 200;

/** Let the user choose joints of the list and save them as one file; `current` is chosen if none is. */
export function showExport(joints, current = null) {
  if (document.querySelector("dialog[open]")) return;
  if (current !== null && joints.chosen.size === 0) joints.choose(current, true);
  new ExportDialog(joints).show();
}

class ExportDialog {
  constructor(joints) {
    this.joints = joints;
    const label = { placeholder: "Filter", "aria-label": "Filter the joints" };
    this.filter = element("input", { type: "search", ...label, oninput: () => this.list() });
    this.lines = element("div", { class: "choices" });
    this.count = element("p", { role: "status" });
    this.fault = element("p", { class: "fault", role: "alert" });
    this.send = button("Save as one file", () => this.save(), { class: "primary" });
    this.none = button("Choose none", () => this.clear());
  }

  show() {
    const note = "The file shows the chosen joints and moves their bones without this server.";
    const parts = [element("p", {}, note), this.filter, this.lines, this.count, this.fault];
    this.dialog = showDialog("Export", element("div", { class: "export" }, ...parts), [this.none, this.send]);
    this.list();
    this.filter.focus();
  }

  list() {
    const { joints } = this;
    const filter = { text: this.filter.value, finger: "", grade: "", plausibility: "", measurement: "" };
    const usable = joints.visible().filter((row) => row.state !== "failed" && passes(row, filter));
    const chosen = usable.filter(({ id }) => joints.chosen.has(id));
    const ordered = [...chosen, ...usable.filter(({ id }) => !joints.chosen.has(id))];
    const more = ordered.length > LISTED ? `${ordered.length - LISTED} more: filter to see them.` : "";
    const note = ordered.length ? more : "No joint passes the filter.";
    const lines = ordered.slice(0, LISTED).map((row) => this.line(row));
    this.lines.replaceChildren(...lines, ...(note ? [element("p", { class: "more" }, note)] : []));
    this.tell();
  }

  line(row) {
    const parts = [row.name, row.hand, row.finger].filter(Boolean).join(", ");
    const made = checkbox(parts, this.joints.chosen.has(row.id), (wanted) => {
      if (!this.joints.choose(row.id, wanted)) made.control.checked = false;
      this.tell();
    });
    return made.element;
  }

  clear() {
    this.joints.change(({ chosen }) => chosen.clear());
    this.list();
  }

  tell() {
    const { size } = this.joints.chosen;
    this.count.textContent = `${size} of at most ${LARGEST_EXPORT} joints chosen`;
    this.send.disabled = size === 0;
  }

  async save() {
    this.send.disabled = true;
    this.fault.textContent = "";
    this.count.textContent = "Making the file; joints that are not opened yet are separated first.";
    try {
      const file = await postForFile("/api/export", { ids: [...this.joints.chosen] }, "joints.html");
      saveFile(file.blob, file.name);
      report(`Saved ${file.name}.`);
      this.dialog.close();
    } catch (error) {
      this.tell();
      this.fault.textContent = error.message;
    }
  }
}
