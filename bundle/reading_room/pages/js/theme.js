// Light or dark colours: as the system, or as the user chooses.

import { keep, recalled } from "./storage.js";

const KEPT = "reading-room-theme";
const THEMES = ["auto", "light", "dark"];

/** Apply the theme that was chosen before. */
export function followTheme() {
  apply(kept());
}

/** Change to the next theme: automatic, light, dark. */
export function nextTheme() {
  const next = THEMES[(THEMES.indexOf(kept()) + 1) % THEMES.length];
  keep("localStorage", KEPT, next);
  apply(next);
}

function kept() {
  const chosen = document.documentElement.dataset.theme;
  if (THEMES.includes(chosen)) return chosen;
  const stored = recalled("localStorage", KEPT);
  return THEMES.includes(stored) ? stored : "auto";
}

function apply(theme) {
  document.documentElement.dataset.theme = theme;
  const shown = document.getElementById("theme");
  if (shown) shown.textContent = `Colours: ${theme}`;
}
