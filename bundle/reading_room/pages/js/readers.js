// What the rooms of people who read have in common: the name of the reader, the sessions, and the report.

import { getJson } from "./api.js";
import { reportFault } from "./status.js";
import { keep, recalled } from "./storage.js";
import { button, element, section, showDialog, textTable } from "./widgets.js";

const KEPT = "reader";

/** Field for the name of a reader; Enter begins. */
export function readerField(begin) {
  return element("input", {
    type: "text",
    id: "reader",
    maxlength: "60",
    "aria-label": "Name of the reader",
    placeholder: "Reader",
    autocomplete: "off",
    onkeydown: (event) => event.key === "Enter" && begin(),
  });
}

/** Section with the name of the reader and the sessions that were begun. */
export class ReaderSection {
  constructor(address, begin) {
    Object.assign(this, { address, begin });
    this.name = readerField(() => this.start(false));
    this.name.value = recalled("sessionStorage", KEPT) ?? "";
    const start = button("Begin", () => this.start(false), {
      class: "primary",
      id: "begin",
      title: "Begin, or resume the session of this reader",
    });
    const again = button("New session", () => this.start(true), {
      id: "again",
      title: "Begin a new session with the joints that the list shows",
    });
    this.sessions = element("div", { class: "facts" });
    this.element = section(
      "Reader",
      element("div", { class: "row" }, this.name),
      element("div", { class: "row two" }, start, again),
      this.sessions,
    );
  }

  async start(again) {
    const reader = this.name.value.trim();
    if (!reader) {
      this.name.focus();
      reportFault("Enter the name of the reader.");
      return;
    }
    keep("sessionStorage", KEPT, reader);
    try {
      await this.begin(reader, again);
    } catch (error) {
      reportFault(error);
    }
  }

  /** Show the sessions that the server knows. */
  async refresh() {
    try {
      const { readers } = await getJson(this.address);
      const lines = readers.map(({ reader, done, total }) => element("p", {}, `${reader}: ${done} of ${total}`));
      this.sessions.replaceChildren(...lines);
    } catch (error) {
      reportFault(error);
    }
  }
}

/** Show a report with its table, which can be saved as CSV. */
export async function reportDialog(title, address) {
  const { figures, columns, rows } = await getJson(address);
  const reasons = reasonsIn(figures);
  const content = element(
    "div",
    { class: "report" },
    ...(rows.length ? [transposed(columns, rows)] : []),
    ...reasons.map((text) => element("p", {}, text)),
  );
  const save = element("a", { href: `${address}.csv`, class: "button" }, "Save as CSV");
  showDialog(title, content, [save]);
}

/** Table with a column per row of a report, without lines that are empty everywhere. */
function transposed(columns, rows) {
  const lines = columns.map((column, place) => [column.replaceAll("_", " "), ...rows.map((row) => shown(row[place]))]);
  const [head, ...body] = lines.filter(([, ...cells]) => cells.some((cell) => cell !== ""));
  return textTable(head, body);
}

function shown(value) {
  if (value === null || value === undefined) return "";
  return typeof value === "number" && !Number.isInteger(value) ? value.toFixed(3) : String(value);
}

function reasonsIn({ overall, unfinished }) {
  const waiting = Object.entries(unfinished ?? {}).map(
    ([reader, count]) => `${reader} has answered ${count} images so far and is not counted.`,
  );
  return [...(overall?.not_computed ? [`No figures yet: ${overall.not_computed}.`] : []), ...waiting];
}
