// What the rooms of people who read have in common: the name of the reader, and the sessions.

import { getJson } from "./api.js";
import { reportFault } from "./status.js";
import { keep, recalled } from "./storage.js";
import { button, element, section } from "./widgets.js";

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
    this.sessions = element("div", { class: "sessions" });
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

  /** Show the sessions that the server knows, that of the named reader first. */
  async refresh() {
    try {
      const { readers } = await getJson(this.address);
      const own = this.name.value.trim();
      readers.sort((one, other) => (other.reader === own) - (one.reader === own));
      const lines = readers.map(({ reader, done, total }) => element("p", {}, `${reader}: ${done} of ${total}`));
      this.sessions.replaceChildren(...lines);
    } catch (error) {
      reportFault(error);
    }
  }
}
