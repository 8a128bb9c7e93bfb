// Reports of the figures of all readers, as a table that can be saved.

import { getJson } from "./api.js";
import { element, showDialog, textTable } from "./widgets.js";

const SPELLED = {
  icc_2_1: "ICC(2,1)",
  icc_3_1: "ICC(3,1)",
  auc: "AUC",
  limits_mm: "limits of agreement (mm)",
  mae_mm: "mean absolute difference (mm)",
};
const BOUND = /_(low|high)(?=_mm$|$)/;
const DIGITS = 3;

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

/** Table with a column per row of a report, without lines that are empty everywhere; an interval follows its figure. */
function transposed(columns, rows) {
  const figures = [...new Set(columns.map((column) => column.replace(BOUND, "")))];
  const lines = figures.map((figure) => [spelled(figure), ...cells(figure, columns, rows)]);
  const [head, ...body] = lines.filter(([, ...texts]) => texts.some((text) => text !== ""));
  return textTable(head, body);
}

function cells(figure, columns, rows) {
  const own = columns.flatMap((column, place) => (column.replace(BOUND, "") === figure ? [place] : []));
  const isFraction = rows.some((row) => own.some((place) => typeof row[place] === "number" && row[place] % 1 !== 0));
  const shown = (value) => (isFraction && typeof value === "number" ? value.toFixed(DIGITS) : String(value ?? ""));
  return rows.map((row) => {
    const [value, interval] = [false, true].map((bound) =>
      own
        .filter((place) => BOUND.test(columns[place]) === bound)
        .map((place) => shown(row[place]))
        .filter(Boolean)
        .join(" to "),
    );
    return value && interval ? `${value} (${interval})` : value || interval;
  });
}

function spelled(figure) {
  return SPELLED[figure] ?? figure.replace(/_mm$/, " (mm)").replaceAll("_", " ");
}

function reasonsIn({ overall, unfinished }) {
  const waiting = Object.entries(unfinished ?? {}).map(
    ([reader, count]) => `${reader} has answered ${count} images so far and is not counted.`,
  );
  return [...(overall?.not_computed ? [`No figures yet: ${overall.not_computed}.`] : []), ...waiting];
}
