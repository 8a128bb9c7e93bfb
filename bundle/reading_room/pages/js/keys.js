// Keyboard: bindings in named groups, the keys that are held, and the key table.

import { element, showDialog } from "./widgets.js";

const TEXT_FIELDS = 'input:not([type="range"]):not([type="checkbox"]):not([type="radio"]), textarea, select';
const CONTROLS = 'button, a, input:not([type="range"]), select, textarea, summary';

const held = new Set();
const groups = new Map();

/** Report whether a key is held down. */
export function isHeld(key) {
  return held.has(key);
}

/**
 * Bind keys while a room is open; returns the function that unbinds them.
 *
 * A binding is {keys: [names as in event.key, lower case], shown: text, text: what it does, run: function}. Without
 * `run` it is a line of the key table only, such as a gesture of the pointer.
 */
export function bindKeys(group, bindings) {
  groups.set(group, bindings);
  return () => groups.get(group) === bindings && groups.delete(group);
}

/** Start to listen to the keyboard. */
export function startKeyboard() {
  addEventListener("keydown", (event) => held.add(event.key.toLowerCase()), true);
  addEventListener("keyup", (event) => held.delete(event.key.toLowerCase()), true);
  addEventListener("blur", () => held.clear());
  addEventListener("keydown", onKey);
}

/** Show the table of all keys that are bound. */
export function showKeys() {
  if (document.querySelector("dialog[open]")) return;
  const tables = [...groups].map(([group, bindings]) => keyTable(group, bindings));
  showDialog("Keys and gestures", element("div", { class: "keys" }, ...tables));
}

function keyTable(group, bindings) {
  const rows = bindings
    .filter(({ hidden }) => !hidden)
    .map(({ keys = [], shown, text }) =>
      element(
        "div",
        { class: "row" },
        element("dt", {}, element("kbd", {}, shown ?? keys.join(" or "))),
        element("dd", {}, text),
      ),
    );
  return element("section", {}, element("h3", {}, group), element("dl", {}, ...rows));
}

function onKey(event) {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest?.(TEXT_FIELDS) || document.querySelector("dialog[open]")) return;
  const key = event.key.toLowerCase();
  if ((key === "enter" || key === " ") && event.target.closest?.(CONTROLS)) return;
  const bound = [...groups.values()]
    .reverse()
    .flat()
    .find(({ keys = [], run }) => run && keys.includes(key));
  if (!bound) return;
  event.preventDefault();
  bound.run(event);
}
