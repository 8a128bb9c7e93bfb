// The bar above the list: filters, grouping, number of joints, export.

import { showExport } from "./export.js";
import { measurementName } from "./joints.js";
import { button, element, select, toggleButton } from "./widgets.js";

const GRADES = ["0", "1", "2", "3", "4"];
const PLAUSIBILITIES = ["plausible", "doubtful", "implausible", "unknown"];
const MEASUREMENTS = ["measured", "refused", "closed", "failed"];

/** Bar of the filters; `leave` gives the focus back to the list. */
export class Filters {
  constructor(joints, leave) {
    Object.assign(this, { joints, leave, fingers: "" });
    this.text = element("input", {
      type: "search",
      placeholder: "Filter",
      "aria-label": "Filter by text",
      spellcheck: "false",
      oninput: () => this.set("text", this.text.value),
      onkeydown: (event) => this.press(event),
    });
    this.text.value = joints.filter.text;
    this.selects = {
      finger: this.choice("Finger", "finger", []),
      grade: this.choice("Grade", "grade", GRADES),
      plausibility: this.choice("Plausibility", "plausibility", PLAUSIBILITIES),
      measurement: this.choice("Measurement", "measurement", MEASUREMENTS),
    };
    this.element = element("div", { class: "toolbar" }, this.text, ...this.controls());
  }

  /** Go to the field of the text. */
  focus() {
    this.text.focus();
    this.text.select();
  }

  /** Show the filter, and the number of joints that pass it. */
  show(passing) {
    const { joints } = this;
    const fingers = [...new Set(joints.rows.map(({ finger }) => finger).filter(Boolean))].sort();
    if (fingers.join() !== this.fingers) this.selects.finger.setOptions(options(fingers));
    this.fingers = fingers.join();
    this.showFilter();
    this.hands.element.hidden = !joints.has("hand");
    this.hands.set(joints.grouping);
    this.count.textContent = counted(passing, joints);
    this.exporting.textContent = joints.chosen.size ? `Export ${joints.chosen.size}\u2026` : "Export\u2026";
  }

  controls() {
    const { joints } = this;
    const regroup = () => joints.change(() => (joints.grouping = !joints.grouping));
    this.hands = toggleButton("Group by hand", regroup, { title: "Joints of one hand together" });
    this.count = element("span", { class: "count", role: "status" });
    this.exporting = button("Export\u2026", () => showExport(joints));
    const clear = button("Clear", () => this.clear(), { class: "quiet", title: "Show all joints" });
    const chosen = Object.values(this.selects).map((each) => each.element);
    return [...chosen, clear, this.hands.element, this.count, this.exporting];
  }

  choice(label, name, values) {
    return select(label, options(values), (value) => this.set(name, value));
  }

  set(name, value) {
    this.joints.change(({ filter }) => (filter[name] = value));
  }

  clear() {
    this.joints.change(({ filter }) => Object.keys(filter).forEach((name) => (filter[name] = "")));
    this.text.value = "";
  }

  showFilter() {
    const { filter } = this.joints;
    if (document.activeElement !== this.text) this.text.value = filter.text;
    Object.entries(this.selects).forEach(([name, { control }]) => (control.value = filter[name]));
  }

  press(event) {
    if (!["Escape", "Enter", "ArrowDown"].includes(event.key)) return;
    event.preventDefault();
    if (event.key === "Escape") this.set("text", "");
    this.leave();
    this.showFilter();
  }
}

function options(values) {
  const named = { closed: "not opened" };
  return [["", "all"], ...values.map((value) => [value, named[value] ?? value])];
}

function counted(passing, { rows, loaded }) {
  if (!loaded) return "Reading the joints\u2026";
  if (!rows.length) return "No joints yet";
  const all = rows.length.toLocaleString("en");
  const count = passing === rows.length ? `${all} joints` : `${passing.toLocaleString("en")} of ${all} joints`;
  const failed = rows.filter((row) => measurementName(row) === "failed").length;
  return failed ? `${count}, ${failed} failed` : count;
}
