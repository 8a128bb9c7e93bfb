// The room "List": all joints in a table that holds only the rows in sight.

import { COLUMNS, handLine, thumbnail } from "./cells.js";
import { Filters } from "./filters.js";
import { LARGEST_EXPORT, groupedByHand } from "./joints.js";
import { bindKeys } from "./keys.js";
import { ScrolledRows } from "./rows.js";
import { report } from "./status.js";
import { button, element } from "./widgets.js";

const ROW_PX = 48;
const HAND_PX = 28;
const FIRST_COLUMNS = "30px 52px";

/** Open the room in an element. */
export function open(place, { joints, go }) {
  return new List(place, joints, go);
}

class List {
  constructor(place, joints, go) {
    Object.assign(this, { joints, go, visible: [] });
    this.filters = new Filters(joints, () => this.scroller.focus());
    this.head = element("div", { class: "head", role: "row" });
    this.body = element("div", { class: "body", role: "rowgroup" });
    const role = { role: "grid", tabindex: "0", "aria-label": "Joints", "aria-multiselectable": "true" };
    this.scroller = element("div", { class: "scroller", ...role }, this.head, this.body);
    this.rows = new ScrolledRows(this.scroller, this.body, () => this.showSelection());
    place.append(element("div", { class: "list" }, this.filters.element, this.scroller));
    this.update = () => this.refresh();
    joints.addEventListener("change", this.update);
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
    this.rows.close();
    this.unbind();
  }

  refresh() {
    this.visible = this.joints.visible();
    this.showHead();
    this.filters.show(this.visible.length);
    const entries = this.joints.grouped() ? this.handEntries() : this.visible.map((row) => this.entry(row));
    this.scroller.setAttribute("aria-rowcount", String(entries.length + 1));
    this.rows.show(entries);
  }

  handEntries() {
    return groupedByHand(this.visible).flatMap(({ hand, joints }) => [
      { key: `hand ${hand}`, height: HAND_PX, content: joints.length, make: () => handLine(hand, joints.length) },
      ...joints.map((row) => this.entry(row)),
    ]);
  }

  entry(row) {
    return { key: keyOf(row.id), height: ROW_PX, content: row, make: () => this.rowElement(row) };
  }

  showHead() {
    const { column, descending } = this.joints;
    const columns = COLUMNS.filter(({ name, optional }) => !optional || this.joints.has(name));
    const stated = JSON.stringify([columns.map(({ name }) => name), column, descending]);
    if (stated === this.headStated) return;
    Object.assign(this, { columns, headStated: stated });
    const focused = document.activeElement?.dataset?.column;
    this.head.replaceChildren(
      headCell("choose", "In the export"),
      headCell("thumbnail", "Radiograph"),
      ...this.titles(),
    );
    if (focused) this.head.querySelector(`[data-column="${CSS.escape(focused)}"]`)?.focus();
    this.scroller.style.setProperty("--columns", [FIRST_COLUMNS, ...columns.map(({ width }) => width)].join(" "));
    this.rows.forget();
  }

  titles() {
    const { column, descending } = this.joints;
    return this.columns.map(({ name, title, hint }) => {
      const order = name !== column ? "none" : descending ? "descending" : "ascending";
      const arrow = { none: "", ascending: " \u25b2", descending: " \u25bc" }[order];
      const sort = button(title + arrow, () => this.sort(name), { "data-column": name, title: hint });
      return element("div", { class: `cell ${name}`, role: "columnheader", "aria-sort": order }, sort);
    });
  }

  sort(name) {
    this.joints.change((joints) => {
      const again = joints.column === name;
      if (again && joints.descending) Object.assign(joints, { column: "", descending: false });
      else Object.assign(joints, { column: name, descending: again });
    });
  }

  rowElement(row) {
    const choose = { type: "checkbox", tabindex: "-1", "aria-label": `Export ${row.name}` };
    const box = element("input", { ...choose, onchange: () => this.choose(row.id) });
    const actions = { onclick: () => this.select(row.id), ondblclick: () => this.enter(row.id) };
    return element(
      "div",
      { class: "joint-row", role: "row", id: `row-${row.id}`, "data-state": row.state, ...actions },
      cell("choose", box),
      cell("thumbnail", thumbnail(row)),
      ...this.columns.map((column) => cell(column.name, ...column.cell(row))),
    );
  }

  showSelection() {
    const { selected, chosen } = this.joints;
    for (const { content, element: shown } of this.rows.shown.values()) {
      if (!content.id) continue;
      shown.setAttribute("aria-selected", String(content.id === selected));
      shown.querySelector("input").checked = chosen.has(content.id);
    }
    const active = this.rows.shown.get(keyOf(selected));
    if (active) this.scroller.setAttribute("aria-activedescendant", active.element.id);
    else this.scroller.removeAttribute("aria-activedescendant");
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
    if (this.rows.places.has(keyOf(id))) this.go("look", id);
  }

  step(count) {
    if (!this.visible.length) return;
    const present = this.visible.findIndex(({ id }) => id === this.joints.selected);
    const start = present === -1 && count < 0 ? 0 : present;
    const wanted = Math.min(this.visible.length - 1, Math.max(0, start + count));
    const { id } = this.visible[wanted];
    this.select(id);
    if (wanted === 0) this.scroller.scrollTop = 0;
    this.rows.reveal(keyOf(id), this.head.offsetHeight);
  }

  bindings() {
    const page = () => Math.max(1, Math.floor(this.scroller.clientHeight / ROW_PX) - 2);
    const hidden = (key, count) => ({ keys: [key], hidden: true, run: () => this.step(count()) });
    const choose = () => this.joints.selected !== null && this.choose(this.joints.selected);
    return [
      { keys: ["arrowdown"], shown: "\u2193, \u2191", text: "Next or previous joint", run: () => this.step(1) },
      { keys: ["arrowup"], hidden: true, run: () => this.step(-1) },
      hidden("pagedown", page),
      hidden("pageup", () => -page()),
      hidden("home", () => -Infinity),
      hidden("end", () => Infinity),
      { shown: "Page Up, Page Down", text: "By a page; Home and End: to the ends" },
      { keys: ["enter"], shown: "Enter", text: "Look at the joint, like a double click", run: () => this.enter() },
      { keys: [" "], shown: "Space", text: "Choose the joint for the export", run: choose },
      { keys: ["/"], text: "Go to the filter; Escape clears it", run: () => this.filters.focus() },
    ];
  }
}

function keyOf(id) {
  return `joint ${id}`;
}

function cell(name, ...children) {
  return element("div", { class: `cell ${name}`, role: "gridcell" }, ...children);
}

function headCell(name, label) {
  return element("div", { class: `cell ${name}`, role: "columnheader", "aria-label": label });
}
