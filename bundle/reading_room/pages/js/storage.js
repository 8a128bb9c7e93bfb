// Choices that the browser keeps. Without its storage they last until the page is closed.

const page = new Map();

/** Keep a text in "localStorage" or "sessionStorage". */
export function keep(storage, key, text) {
  page.set(key, text);
  try {
    window[storage].setItem(key, text);
  } catch {
    // The browser may forbid it.
  }
}

/** Return a kept text, null if there is none. */
export function recalled(storage, key) {
  try {
    return window[storage].getItem(key) ?? page.get(key) ?? null;
  } catch {
    return page.get(key) ?? null;
  }
}
