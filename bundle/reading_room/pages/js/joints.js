// The joints of the room: kept up to date with the server, filtered, sorted and grouped by hand.

import { getJson } from "./api.js";
import { clearStatus, reportFault } from "./status.js";

const PERIOD_MS = 2000;

export const LARGEST_EXPORT = 50;

const NUMBERS = ["joint_space_mm", "joint_space_sd_mm", "grade", "visit"];
const RANKS = {
  plausible: (row) => (row.plausible === null ? null : Number(row.plausible)),
  state: (row) => STATES.indexOf(row.state),
};
const STATES = ["ready", "closed", "failed"];
const NAMES = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

function known(value) {
  return value !== null && value !== undefined && value !== "";
}

/** Return the value of a joint by which a column sorts it; null sorts last. */
export function sortingValue(row, column) {
  if (column in RANKS) return RANKS[column](row);
  const value = row[column];
  return known(value) ? value : null;
}

/** Sort joints by a column, without change for equal values; unknown values come last. */
export function sortedRows(rows, column, descending) {
  if (!column) return rows;
  const sign = descending ? -1 : 1;
  const numeric = NUMBERS.includes(column) || column in RANKS;
  const order = (a, b) => (numeric ? a - b : NAMES.compare(String(a), String(b)));
  const pairs = rows.map((row) => [sortingValue(row, column), row]);
  pairs.sort(([a], [b]) => {
    if (a === null || b === null) return (a === null) - (b === null);
    return sign * order(a, b);
  });
  return pairs.map(([, row]) => row);
}

/** Report whether a joint passes the filter. */
export function passes(row, { text, finger, grade, plausibility, measurement }) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  return (
    words.every((word) => row.searched.includes(word)) &&
    (!finger || row.finger === finger) &&
    (!grade || String(row.grade) === grade) &&
    (!plausibility || plausibility === plausibilityName(row)) &&
    (!measurement || measurement === measurementName(row))
  );
}

/** Name the plausibility of a joint: plausible, doubtful (plausible, with a reason for doubt), implausible or unknown. */
export function plausibilityName({ plausible, refused, reasons }) {
  if (plausible === null || plausible === undefined) return "unknown";
  if (!plausible) return "implausible";
  return refused || reasons?.length ? "doubtful" : "plausible";
}

/** Name the state of the measurement of a joint: measured, refused, closed or failed. */
export function measurementName(row) {
  if (row.state === "failed") return "failed";
  if (row.refused) return "refused";
  if (row.joint_space_mm !== null && row.joint_space_mm !== undefined) return "measured";
  return row.state === "closed" ? "closed" : "unmeasured";
}

/** Order joints by hand, hands in the order of their first joint; joints without a hand come last. */
export function groupedByHand(rows) {
  const hands = new Map();
  for (const row of rows) {
    const hand = row.hand ?? "";
    if (!hands.has(hand)) hands.set(hand, []);
    hands.get(hand).push(row);
  }
  const groups = [...hands].map(([hand, joints]) => ({ hand, joints }));
  return [...groups.filter(({ hand }) => hand), ...groups.filter(({ hand }) => !hand)];
}

/** The joints of the server, polled, with the filter, order and choice of the user. */
export class Joints extends EventTarget {
  constructor() {
    super();
    Object.assign(this, {
      rows: [],
      byId: new Map(),
      revision: null,
      loaded: false,
      selected: null,
      chosen: new Set(),
    });
    this.filter = { text: "", finger: "", grade: "", plausibility: "", measurement: "" };
    Object.assign(this, { column: "", descending: false, grouping: true });
  }

  /** Poll the server from now on. */
  start() {
    const again = () =>
      this.refresh().finally(() => {
        this.timer = setTimeout(again, PERIOD_MS);
      });
    return this.refresh().finally(() => {
      this.timer = setTimeout(again, PERIOD_MS);
    });
  }

  /** Get what has changed since the last answer. */
  async refresh() {
    try {
      const answer = await getJson(`/api/joints${this.revision === null ? "" : `?revision=${this.revision}`}`);
      this.recover();
      if (answer.joints) this.take(answer);
    } catch (error) {
      this.fault = error.message;
      reportFault(error);
    }
  }

  /** Joints that pass the filter, in order. */
  visible() {
    const passing = sortedRows(
      this.rows.filter((row) => passes(row, this.filter)),
      this.column,
      this.descending,
    );
    return this.grouped() ? groupedByHand(passing).flatMap(({ joints }) => joints) : passing;
  }

  /** Report whether joints are grouped by hand. */
  grouped() {
    return this.grouping && this.has("hand");
  }

  /** Report whether any joint has a value in a column. */
  has(column) {
    return this.rows.some((row) => known(row[column]));
  }

  /** Change filter, order or choice. */
  change(edit) {
    edit(this);
    this.tell();
  }

  /** Choose a joint for the export, or no longer; returns whether there was room for it. */
  choose(id, wanted = !this.chosen.has(id)) {
    if (wanted && !this.chosen.has(id) && this.chosen.size >= LARGEST_EXPORT) return false;
    this.change(() => (wanted ? this.chosen.add(id) : this.chosen.delete(id)));
    return true;
  }

  /** The joint after (1) or before (-1) another one in the order of the list. */
  neighbour(id, direction) {
    const order = this.visible();
    const place = order.findIndex((row) => row.id === id);
    return order[place === -1 ? 0 : place + direction] ?? null;
  }

  recover() {
    if (!this.fault) return;
    clearStatus(this.fault);
    this.fault = null;
    this.dispatchEvent(new Event("recover"));
  }

  take({ revision, joints }) {
    const rows = joints.map((row) => this.prepared(row));
    this.revision = revision;
    const changed =
      !this.loaded || rows.length !== this.rows.length || rows.some((row, index) => row !== this.rows[index]);
    this.rows = rows;
    this.byId = new Map(rows.map((row) => [row.id, row]));
    this.chosen.forEach((id) => this.byId.has(id) || this.chosen.delete(id));
    this.loaded = true;
    if (changed) this.tell();
  }

  prepared(row) {
    const stated = JSON.stringify(row);
    const before = this.byId.get(row.id);
    if (before?.stated === stated) return before;
    const searched = [
      row.name,
      row.hand,
      row.patient,
      row.visit,
      row.side,
      row.finger,
      row.joint,
      row.failure,
      ...(row.reasons ?? []),
    ];
    return { ...row, stated, searched: searched.filter(known).join("\n").toLowerCase() };
  }

  tell() {
    this.dispatchEvent(new Event("change"));
  }
}
