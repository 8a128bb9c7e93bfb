// The room "List": all joints in a table that holds only the rows in sight.

import { jointAddress } from "./api.js";
import { bindKeys } from "./keys.js";
import { showExport } from "./export.js";
import { LARGEST_EXPORT, groupedByHand, measurementName, plausibilityName } from "./joints.js";
import { report } from "./status.js";
import { button, element, select, toggleButton } from "./widgets.js";

export const ROW_HEIGHT = 48;

const HAND_HEIGHT = 28;
const OVERSCAN_PX = 300;
const THUMBNAIL_DELAY_MS = 80;
const COLUMNS = [
  { name: "name", text: "Name" }, { name: "patient", text: "Patient", optional: true }, { name: "visit", text: "Day", title: "Days since the first visit", optional: true },
  { name: "side", text: "Side", optional: true }, { name: "finger", text: "Finger" },
  { name: "joint_space_mm", text: "Joint space (mm)" }, { name: "grade", text: "Grade" }, { name: "plausible", text: "Plausibility" },
];

/** Open the room in an element. */
export function open(place, { joints, go }) {
  return new List(place, joints, go);
}

class List {
  constructor(place, joints, go) {
    Object.assign(this, { joints, go, drawn: new Map(), entries: [], offsets: [0] });
    this.toolbar = this.filters();
    this.head = element("div", { class: "head", role: "row" });
    this.body = element("div", { class: "body", role: "rowgroup" });
    this.scroller = element("div", { class: "scroller", tabindex: "0", role: "grid", "aria-label": "Joints", "aria-multiselectable": "true", onscroll: () => this.request() }, this.head, this.body);
    place.append(element("div", { class: "list" }, this.toolbar, this.scroller));
    this.update = () => this.refresh();
    joints.addEventListener("change", this.update);
    this.observer = new ResizeObserver(() => this.request());
    this.observer.observe(this.scroller);
    this.unbind = bindKeys("List", this.bindings());
    this.refresh();
    this.scroller.scrollTop = joints.scrollTop ?? 0;
    this.scroller.focus();
  }

  /** Follow the address; the list has only one. */
  show() {}

  /** Keep the scroll position and stop listening. */
  close() {
    this.joints.scrollTop = this.scroller.scrollTop;
    this.joints.removeEventListener("change", this.update);
    this.observer.disconnect();
    this.unbind();
    cancelAnimationFrame(this.requested);
  }

  filters() {
    const { filter } = this.joints;
    const set = (name) => (value) => this.joints.change(() => { filter[name] = value; });
    this.text = element("input", { type: "search", placeholder: "Filter", "aria-label": "Filter by text", spellcheck: "false", oninput: () => set("text")(this.text.value), onkeydown: (event) => this.inFilter(event) });
    this.text.value = filter.text;
    this.finger = select("Finger", [["", "all"]], set("finger"));
    this.grade = select("Grade", [["", "all"], ...[0, 1, 2, 3, 4].map((grade) => [String(grade), String(grade)])], set("grade"));
    this.plausibility = select("Plausibility", [["", "all"], ["plausible", "plausible"], ["implausible", "implausible"], ["unknown", "unknown"]], set("plausibility"));
    this.measurement = select("Measurement", [["", "all"], ["measured", "measured"], ["refused", "refused"], ["closed", "not opened"], ["failed", "failed"]], set("measurement"));
    this.hands = toggleButton("By hand", () => this.joints.change((joints) => { joints.grouping = !joints.grouping; }));
    this.count = element("span", { class: "count", role: "status" });
    this.export = button("Export\u2026", () => showExport(this.joints));
    const all = button("Clear", () => this.clear(), { class: "quiet", title: "Show all joints" });
    return element("div", { class: "toolbar" }, this.text, this.finger.element, this.grade.element, this.plausibility.element, this.measurement.element, all, this.hands.element, this.count, this.export);
  }

  clear() {
    this.joints.change(({ filter }) => Object.keys(filter).forEach((name) => { filter[name] = ""; }));
    this.showFilter();
  }

  showFilter() {
    const { filter } = this.joints;
    if (document.activeElement !== this.text) this.text.value = filter.text;
    for (const name of ["finger", "grade", "plausibility", "measurement"]) this[name].control.value = filter[name];
  }

  inFilter(event) {
    if (event.key !== "Escape" && event.key !== "Enter" && event.key !== "ArrowDown") return;
    event.preventDefault();
    if (event.key === "Escape") this.joints.change(({ filter }) => { filter.text = ""; });
    this.scroller.focus();
    this.showFilter();
  }

  refresh() {
    const kept = this.anchor();
    this.layOut();
    this.showHead();
    this.showTools();
    this.body.style.height = `${this.offsets[this.entries.length]}px`;
    this.restore(kept);
    this.draw();
  }

  layOut() {
    const rows = this.joints.visible();
    this.entries = this.joints.grouped() ? groupedByHand(rows).flatMap(({ hand, joints }) => [{ hand, count: joints.length }, ...joints.map((row) => ({ row }))]) : rows.map((row) => ({ row }));
    this.offsets = [0];
    for (const { row } of this.entries) this.offsets.push(this.offsets[this.offsets.length - 1] + (row ? ROW_HEIGHT : HAND_HEIGHT));
    this.places = new Map(this.entries.map(({ row }, index) => [row?.id, index]));
    this.columns = COLUMNS.filter(({ name, optional }) => !optional || this.joints.has(name));
    this.rowCount = rows.length;
  }

  anchor() {
    const top = this.scroller.scrollTop;
    if (!top) return null;
    for (let index = this.indexAt(top); index < this.entries.length; index += 1) {
      const { row } = this.entries[index];
      if (row) return { id: row.id, distance: this.offsets[index] - top };
    }
    return null;
  }

  restore(kept) {
    if (kept && this.places.has(kept.id)) this.scroller.scrollTop = this.offsets[this.places.get(kept.id)] - kept.distance;
  }

  indexAt(offset) {
    let [low, high] = [0, this.entries.length];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.offsets[middle] <= offset) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  showHead() {
    const { column, descending } = this.joints;
    const order = (name) => (name !== column ? "none" : descending ? "descending" : "ascending");
    const arrow = (name) => ({ none: "", ascending: " \u25b2", descending: " \u25bc" })[order(name)];
    const stated = JSON.stringify([this.columns.map(({ name }) => name), column, descending]);
    if (stated === this.headStated) return;
    this.headStated = stated;
    const focused = document.activeElement?.dataset?.column;
    const cells = this.columns.map(({ name, text, title }) => element("div", { class: `cell ${name}`, role: "columnheader", "aria-sort": order(name) }, button(text + arrow(name), () => this.sort(name), { "data-column": name, title })));
    this.head.replaceChildren(element("div", { class: "cell choose", role: "columnheader", "aria-label": "In the export" }), element("div", { class: "cell thumbnail", role: "columnheader", "aria-label": "Radiograph" }), ...cells);
    if (focused) this.head.querySelector(`[data-column="${CSS.escape(focused)}"]`)?.focus();
    this.scroller.style.setProperty("--columns", ["30px 52px", ...this.columns.map(({ name }) => WIDTHS_OF[name])].join(" "));
    this.drawn.forEach((each) => each.element.remove());
    this.drawn.clear();
  }

  sort(name) {
    this.joints.change((joints) => {
      const turned = joints.column === name;
      if (turned && joints.descending) Object.assign(joints, { column: "", descending: false });
      else Object.assign(joints, { column: name, descending: turned });
    });
  }

  showTools() {
    const { joints } = this;
    const fingers = [...new Set(joints.rows.map(({ finger }) => finger).filter(Boolean))].sort();
    if (fingers.join() !== this.fingers) this.finger.setOptions([["", "all"], ...fingers.map((finger) => [finger, finger])]);
    this.fingers = fingers.join();
    this.showFilter();
    this.hands.element.hidden = !joints.has("hand");
    this.hands.set(joints.grouping);
    this.count.textContent = counted(this.rowCount, joints);
    this.export.textContent = joints.chosen.size ? `Export ${joints.chosen.size}\u2026` : "Export\u2026";
    this.scroller.setAttribute("aria-rowcount", String(this.entries.length));
  }

  request() {
    if (this.requested) return;
    this.requested = requestAnimationFrame(() => {
      this.requested = 0;
      this.draw();
    });
  }

  draw() {
    const top = this.scroller.scrollTop;
    const first = this.indexAt(Math.max(0, top - OVERSCAN_PX));
    const past = top + this.scroller.clientHeight + OVERSCAN_PX;
    const wanted = new Set();
    for (let index = first; index < this.entries.length && this.offsets[index] < past; index += 1) wanted.add(this.drawEntry(index));
    for (const [key, { element: made }] of this.drawn) {
      if (wanted.has(key)) continue;
      made.remove();
      this.drawn.delete(key);
    }
    this.showSelection();
  }

  drawEntry(index) {
    const entry = this.entries[index];
    const key = entry.row ? `joint ${entry.row.id}` : `hand ${entry.hand}`;
    const known = this.drawn.get(key);
    const current = known && (entry.row ? known.row === entry.row : known.count === entry.count);
    if (known && !current) known.element.remove();
    const made = current ? known : { ...entry, element: entry.row ? this.rowElement(entry.row) : handElement(entry) };
    made.element.style.transform = `translateY(${this.offsets[index]}px)`;
    made.element.setAttribute("aria-rowindex", String(index + 2));
    if (!current) this.body.append(made.element);
    this.drawn.set(key, made);
    return key;
  }

  showSelection() {
    const { selected, chosen } = this.joints;
    for (const { row, element: made } of this.drawn.values()) {
      if (!row) continue;
      made.setAttribute("aria-selected", String(row.id === selected));
      made.querySelector("input").checked = chosen.has(row.id);
    }
    const shown = this.drawn.get(`joint ${selected}`);
    if (shown) this.scroller.setAttribute("aria-activedescendant", shown.element.id);
    else this.scroller.removeAttribute("aria-activedescendant");
  }

  rowElement(row) {
    const choice = element("input", { type: "checkbox", tabindex: "-1", "aria-label": `Export ${row.name}`, onchange: () => this.choose(row.id) });
    const cells = this.columns.map(({ name }) => element("div", { class: `cell ${name}`, role: "gridcell" }, ...CELLS[name](row)));
    const made = element("div", { class: "joint-row", role: "row", id: `row-${row.id}`, "data-state": row.state, onclick: () => this.select(row.id), ondblclick: () => this.enter(row.id) }, element("div", { class: "cell choose", role: "gridcell" }, choice), element("div", { class: "cell thumbnail", role: "gridcell" }, thumbnail(row)), ...cells);
    return made;
  }

  choose(id) {
    if (!this.joints.choose(id)) report(`An export holds at most ${LARGEST_EXPORT} joints.`);
    this.showSelection();
  }

  select(id) {
    this.joints.selected = id;
    this.showSelection();
  }

  enter(id = this.joints.selected) {
    if (id !== null && this.places.has(id)) this.go("look", id);
  }

  step(count) {
    const places = this.entries.flatMap(({ row }, index) => (row ? [index] : []));
    if (!places.length) return;
    const present = places.indexOf(this.places.get(this.joints.selected) ?? -1);
    const wanted = present === -1 ? 0 : Math.min(places.length - 1, Math.max(0, present + count));
    this.select(this.entries[places[wanted]].row.id);
    this.reveal(places[wanted], wanted === 0);
    this.draw();
  }

  reveal(index, first) {
    const { scrollTop: top, clientHeight } = this.scroller;
    const visible = clientHeight - this.head.offsetHeight;
    if (first) this.scroller.scrollTop = 0;
    else if (this.offsets[index] < top) this.scroller.scrollTop = this.offsets[index];
    else if (this.offsets[index + 1] > top + visible) this.scroller.scrollTop = this.offsets[index + 1] - visible;
  }

  bindings() {
    const page = () => Math.max(1, Math.floor(this.scroller.clientHeight / ROW_HEIGHT) - 2);
    return [
      { keys: ["arrowdown"], shown: "\u2193 or \u2191", text: "Next or previous joint", run: () => this.step(1) },
      { keys: ["arrowup"], shown: "Page Up, Page Down, Home, End", text: "Move by a page, or to the ends", run: () => this.step(-1) },
      ...[["pagedown", page], ["pageup", () => -page()], ["home", () => -Infinity], ["end", () => Infinity]].map(([key, count]) => ({ keys: [key], hidden: true, run: () => this.step(count()) })),
      { keys: ["enter"], shown: "Enter, double click", text: "Look at the joint", run: () => this.enter() },
      { keys: [" "], shown: "Space", text: "Choose the joint for the export", run: () => this.joints.selected !== null && this.choose(this.joints.selected) },
      { keys: ["/"], text: "Go to the filter; Escape clears it", run: () => this.text.focus() },
    ];
  }
}

const WIDTHS_OF = {
  name: "minmax(140px, 2fr)", patient: "minmax(88px, 1fr)", visit: "58px", side: "58px", finger: "minmax(70px, 1fr)",
  joint_space_mm: "140px", grade: "68px", plausible: "minmax(160px, 4fr)",
};

const CELLS = {
  name: (row) => [row.name],
  patient: (row) => [text(row.patient)],
  visit: (row) => [text(row.visit)],
  side: (row) => [text(row.side)],
  finger: (row) => [text(row.finger)],
  joint_space_mm: (row) => [width(row)],
  grade: (row) => [text(row.grade)],
  plausible: plausibilityCell,
};

function text(value) {
  return value === null || value === undefined ? "\u2013" : String(value);
}

function width({ joint_space_mm: mean, joint_space_sd_mm: sd, state, refused }) {
  if (refused) return "refused";
  if (mean === null || mean === undefined) return state === "closed" ? "not opened" : "\u2013";
  return mean.toFixed(2) + (sd === null || sd === undefined ? "" : ` \u00b1 ${sd.toFixed(2)}`);
}

function plausibilityCell(row) {
  if (row.state === "failed") return [element("span", { class: "tag bad" }, "failed"), element("span", { class: "why", title: row.failure }, row.failure)];
  const name = plausibilityName(row);
  const reasons = (row.reasons ?? []).join("; ");
  const tag = name === "unknown" ? "\u2013" : element("span", { class: `tag ${name === "plausible" ? "good" : "doubtful"}` }, name);
  return [tag, reasons ? element("span", { class: "why", title: reasons }, reasons) : ""];
}

function handElement({ hand, count }) {
  const joints = `${count} ${count === 1 ? "joint" : "joints"}`;
  return element("div", { class: "hand", role: "row" }, element("div", { role: "gridcell" }, hand || "Without a hand", element("span", { class: "count" }, joints)));
}

function thumbnail(row) {
  const frame = element("div", { class: "frame" });
  if (row.state !== "ready") return frame;
  const image = element("img", { alt: "", width: 44, height: 44, onerror: () => image.remove() });
  setTimeout(() => {
    if (!frame.isConnected) return;
    image.src = jointAddress(row.id, "thumbnail");
    frame.append(image);
  }, THUMBNAIL_DELAY_MS);
  return frame;
}

function counted(shown, { rows, loaded }) {
  if (!loaded) return "Reading the joints\u2026";
  if (!rows.length) return "No joints yet";
  const all = rows.length.toLocaleString("en");
  const text = shown === rows.length ? `${all} joints` : `${shown.toLocaleString("en")} of ${all} joints`;
  const failed = rows.filter((row) => measurementName(row) === "failed").length;
  return failed ? `${text}, ${failed} failed` : text;
}
