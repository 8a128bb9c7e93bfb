// Elements of the pages: buttons, selects, number sliders, tables, dialogs. Text is only ever set as text.

/** Make an element with attributes, `on<event>` listeners and children (elements or text). */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/** Make a button. */
export function button(text, onclick, attributes = {}) {
  return element("button", { type: "button", onclick, ...attributes }, text);
}

/** Make a button that is pressed or not; `set` shows its state. */
export function toggleButton(text, onclick, attributes = {}) {
  const made = button(text, onclick, { "aria-pressed": "false", ...attributes });
  return { element: made, set: (pressed) => made.setAttribute("aria-pressed", String(Boolean(pressed))) };
}

/** Make a labelled select of [value, text] pairs. */
export function select(label, options, onchange) {
  const made = element("select", { "aria-label": label, onchange: () => onchange(made.value) });
  const setOptions = (pairs) => {
    const kept = made.value;
    made.replaceChildren(...pairs.map(([value, text]) => element("option", { value }, text)));
    made.value = pairs.some(([value]) => value === kept) ? kept : pairs[0][0];
  };
  setOptions(options);
  return { element: element("label", { class: "field" }, element("span", {}, label), made), setOptions, control: made };
}

/** Make a checkbox with its label. */
export function checkbox(text, checked, onchange, attributes = {}) {
  const control = element("input", { type: "checkbox", onchange: () => onchange(control.checked), ...attributes });
  control.checked = checked;
  return { element: element("label", { class: "check" }, control, text), control };
}

/** Make a table from its headers and rows of texts. */
export function textTable(headers, rows) {
  const line = (kind, texts) =>
    element("tr", {}, ...texts.map((text) => element(kind, kind === "th" ? { scope: "col" } : {}, String(text))));
  return element(
    "table",
    { class: "plain" },
    element("thead", {}, line("th", headers)),
    element("tbody", {}, ...rows.map((texts) => line("td", texts))),
  );
}

/** Make a titled section of a panel. */
export function section(title, ...children) {
  return element("section", { class: "section", "aria-label": title }, element("h2", {}, title), ...children);
}

/** Show a modal dialog; Escape and `Close` end it, and the focus returns to where it was. */
export function showDialog(title, content, actions = []) {
  const before = document.activeElement;
  const close = () => made.close();
  const heading = element("header", {}, element("h2", {}, title), button("Close", close, { class: "quiet" }));
  const made = element("dialog", { "aria-label": title }, heading, element("div", { class: "content" }, content));
  if (actions.length) made.append(element("footer", {}, ...actions));
  made.addEventListener("close", () => {
    made.remove();
    before?.focus?.();
  });
  made.addEventListener("click", (event) => event.target === made && close());
  document.body.append(made);
  made.showModal();
  return made;
}

/** Save a file that the page holds. */
export function saveFile(blob, name) {
  const address = URL.createObjectURL(blob);
  const link = element("a", { href: address, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}

/** Parse a number as typed, with a decimal point or comma; null if it is not a number. */
export function parsedNumber(text) {
  const plain = text
    .trim()
    .replace(",", ".")
    .replace(/^\u2212/, "-");
  return plain !== "" && Number.isFinite(Number(plain)) ? Number(plain) : null;
}

/**
 * Slider with exact entry.
 *
 * Arrow keys move it by `step`, with Shift by `fine`, Page Up and Page Down by ten steps, Home and End to its ends.
 * `changed` is called with the new value.
 */
export class NumberSlider {
  constructor({ label, unit, low, high, step, fine, digits, changed, key = "" }) {
    Object.assign(this, { low, high, step, fine, digits, changed, value: 0 });
    const name = `${label} in ${unit}`;
    const shared = {
      "aria-label": name,
      title: `${name}: arrow keys ${step}, with Shift ${fine}${key ? `; key ${key}` : ""}`,
    };
    this.range = element("input", {
      type: "range",
      step: "any",
      ...shared,
      oninput: () => this.enter(Number(this.range.value), this.digits),
    });
    this.field = element("input", {
      type: "text",
      inputmode: "decimal",
      autocomplete: "off",
      spellcheck: "false",
      ...shared,
      "aria-label": `${name}, exact`,
      onchange: () => this.type(),
    });
    this.label = element("span", { class: "name" }, label);
    this.note = element("span", { class: "note" });
    this.element = element(
      "div",
      { class: "slider" },
      element("div", { class: "heading" }, this.label, this.note, this.field, element("span", { class: "unit" }, unit)),
      this.range,
    );
    for (const control of [this.range, this.field]) control.addEventListener("keydown", (event) => this.press(event));
    this.setRange(low, high);
  }

  /** Set the ends of the slider. */
  setRange(low, high) {
    Object.assign(this, { low, high });
    this.range.min = low;
    this.range.max = high;
    this.show(this.value);
  }

  /** Show a value without reporting it. */
  show(value) {
    this.value = value;
    this.range.value = value;
    this.range.setAttribute("aria-valuetext", value.toFixed(this.digits));
    if (document.activeElement !== this.field || parsedNumber(this.field.value) !== value)
      this.field.value = value.toFixed(this.digits);
    this.field.classList.remove("wrong");
  }

  /** Take a value, limit it to the range, round it and report it. */
  enter(value, digits = 6) {
    const limited = Math.min(this.high, Math.max(this.low, value));
    const rounded = Number(limited.toFixed(digits));
    this.show(rounded);
    this.changed(rounded);
  }

  type() {
    const typed = parsedNumber(this.field.value);
    if (typed === null) this.field.classList.add("wrong");
    else this.enter(typed);
  }

  press(event) {
    const typing = event.target === this.field;
    const step = event.shiftKey ? this.fine : this.step;
    const moves = {
      ArrowUp: step,
      ArrowDown: -step,
      PageUp: 10 * step,
      PageDown: -10 * step,
      ...(typing ? {} : { ArrowRight: step, ArrowLeft: -step }),
    };
    if (event.key in moves) this.enter(this.value + moves[event.key]);
    else if (event.key === "Home" && !typing) this.enter(this.low);
    else if (event.key === "End" && !typing) this.enter(this.high);
    else if (event.key === "Enter" && typing) this.type();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}
