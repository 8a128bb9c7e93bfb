// The room "Studies": is a radiograph real or synthetic?

import { getBytes, getJson, postJson } from "./api.js";
import { bindKeys } from "./keys.js";
import { readerField } from "./readers.js";
import { reportDialog } from "./reports.js";
import { attempt, clearStatus, report } from "./status.js";
import { button, element, parsedNumber, section, toggleButton } from "./widgets.js";

const ANSWERS = [
  ["real", "Real", "r"],
  ["synthetic", "Synthetic", "s"],
];
const CONFIDENCES = ["1", "2", "3", "4", "5"];
const LARGEST_SEED = 2 ** 31 - 1;
const LONGEST_SECONDS = 86400;
const NO_DATA_SET = "There is no study. Start the reading room with the folder of a data set to make one.";

/** Open the room in an element. */
export function open(place, house) {
  return new Studies(place, house);
}

class Studies {
  constructor(place, { go }) {
    Object.assign(this, { place, go, next: null });
    this.unbind = () => {};
  }

  /** Show the list of studies, or one study. */
  async show([id]) {
    this.unbind();
    this.next = null;
    const found = await getJson("/api/studies");
    this.reporting = found.can_report;
    const study = found.studies.find((one) => one.id === id);
    if (study && !study.failure) this.showStudy(study);
    else this.showList(found);
  }

  /** Stop listening. */
  close() {
    this.next = null;
    this.unbind();
  }

  showList({ studies, can_make: possible }) {
    const rows = studies.map((study) => this.studyRow(study));
    const none = element("p", {}, possible || !this.reporting ? "There is no study yet." : NO_DATA_SET);
    const list = element(
      "section",
      { class: "sheet" },
      element("h1", {}, "Real or synthetic?"),
      ...(rows.length ? rows : [none]),
    );
    this.place.replaceChildren(element("div", { class: "page" }, list, possible ? this.makingForm() : ""));
  }

  studyRow({ id, name, images, failure, readers }) {
    if (failure)
      return element("div", { class: "study" }, element("strong", {}, name), element("p", { class: "wrong" }, failure));
    const done = readers.map(({ reader, done: count }) => `${reader} ${count} of ${images}`).join(", ");
    return element(
      "div",
      { class: "study" },
      element("strong", {}, name),
      element("p", {}, `${images} radiographs. ${done || "No reader yet"}.`),
      button("Open", () => this.go("studies", id), { class: "open" }),
    );
  }

  makingForm() {
    const field = (label, id, value) => element("input", { type: "text", id, value, "aria-label": label });
    const [name, count, seed] = [
      field("Name", "study-name", "study"),
      field("Radiographs on each side", "study-count", "50"),
      field("Seed", "study-seed", "0"),
    ];
    const labelled = (text, input) => element("label", { class: "field" }, element("span", {}, text), input);
    this.making = button("Make", () => attempt(() => this.make(name.value, count.value, seed.value)), {
      class: "primary",
      id: "make",
    });
    return element(
      "section",
      { class: "sheet" },
      element("h1", {}, "New study"),
      element(
        "div",
        { class: "form" },
        labelled("Name", name),
        labelled("Radiographs on each side", count),
        labelled("Seed", seed),
        this.making,
      ),
    );
  }

  async make(name, count, seed) {
    const numbers = [count, seed].map(parsedNumber);
    if (!numbers.every(Number.isInteger) || numbers[1] > LARGEST_SEED)
      throw new Error("Number and seed must be whole numbers.");
    report("Making the study\u2026");
    this.making.disabled = true;
    try {
      const { id } = await postJson("/api/studies", { name, count: numbers[0], seed: numbers[1] });
      clearStatus();
      this.go("studies", id);
    } finally {
      this.making.disabled = false;
    }
  }

  showStudy(study) {
    Object.assign(this, { study, answer: null, confidence: null });
    this.image = element("img", { alt: "Radiograph", class: "whole", draggable: "false" });
    this.cover = element(
      "div",
      { class: "cover", role: "status" },
      element("p", {}, "Enter your name and begin. You may stop at any time and resume later."),
    );
    const pane = element("div", { class: "panes" }, element("div", { class: "pane" }, this.image, this.cover));
    const panel = element(
      "div",
      { class: "panel" },
      this.readerSection(study),
      this.answerSection(),
      this.reportSection(study),
    );
    this.place.replaceChildren(element("div", { class: "desk" }, pane, panel));
    this.unbind = bindKeys("Study", this.bindings());
    this.setActive(false);
  }

  readerSection({ name }) {
    this.reader = readerField(() => attempt(() => this.begin()));
    const begin = button("Begin", () => attempt(() => this.begin()), { class: "primary", id: "begin" });
    return section(
      name,
      element("div", { class: "row" }, this.reader, begin),
      element("p", {}, "Real: a radiograph as it was taken. Synthetic: the bones were moved by a computer."),
    );
  }

  answerSection() {
    this.answers = ANSWERS.map(([value, text, key]) => ({
      value,
      ...toggleButton(text, (event) => this.click(event, "answer", value), { title: `Key ${key}` }),
    }));
    this.confidences = CONFIDENCES.map((text) => ({
      value: Number(text),
      ...toggleButton(text, (event) => this.click(event, "confidence", Number(text)), { title: `Key ${text}` }),
    }));
    this.progress = element("p", { id: "progress" });
    this.saving = button("Save", () => attempt(() => this.save()), {
      class: "primary",
      id: "save",
      title: "Key Enter",
    });
    this.undoing = button("Undo", () => attempt(() => this.undo()), {
      id: "undo",
      title: "Take back the last answer; key u",
    });
    const elements = (toggles) => toggles.map(({ element: made }) => made);
    this.reading = section(
      "Answer",
      this.progress,
      element("div", { class: "row two", role: "group", "aria-label": "Answer" }, ...elements(this.answers)),
      element("p", {}, "How sure? 1: a guess; 5: certain"),
      element("div", { class: "row five", role: "group", "aria-label": "Confidence" }, ...elements(this.confidences)),
      element("div", { class: "row two" }, this.saving, this.undoing),
    );
    return this.reading;
  }

  reportSection({ id, name }) {
    const all = button("All studies", () => this.go("studies"));
    if (!this.reporting) return section("Studies", element("div", { class: "row two" }, all));
    const figures = button(
      "Figures\u2026",
      () => attempt(() => reportDialog(name, `/api/studies/${encodeURIComponent(id)}/report`)),
      { id: "figures" },
    );
    return section("Results", element("div", { class: "row two" }, figures, all));
  }

  async begin() {
    const reader = this.reader.value.trim();
    if (!reader) throw new Error("Enter the name of the reader.");
    await this.follow(await this.post("begin", { reader }));
  }

  post(part, body) {
    return postJson(`/api/studies/${encodeURIComponent(this.study.id)}/${part}`, body);
  }

  /** Show the next image of the study. */
  async follow({ reader, done, total, next }) {
    Object.assign(this, { name: reader, next });
    this.reader.value = reader;
    this.progress.textContent = `${done} of ${total} answered`;
    this.choose("answer", null);
    this.choose("confidence", null);
    this.setActive(false);
    if (next === null) return this.rest("All radiographs are answered. Thank you.");
    try {
      await this.load(`/api/studies/${encodeURIComponent(this.study.id)}/images/${encodeURIComponent(next)}`);
    } catch (error) {
      return this.rest(`The radiograph cannot be shown: ${error.message} Begin again to go on.`, true);
    }
    if (this.next !== next) return undefined;
    this.cover.hidden = true;
    this.setActive(true);
    this.began = performance.now();
    document.activeElement?.blur?.();
    return undefined;
  }

  async load(address) {
    const shown = URL.createObjectURL(new Blob([await getBytes(address)], { type: "image/png" }));
    URL.revokeObjectURL(this.image.src);
    this.image.src = shown;
    await this.image.decode();
  }

  rest(text, wrong = false) {
    this.cover.replaceChildren(element("p", wrong ? { class: "wrong" } : {}, text));
    this.cover.hidden = false;
  }

  /** Choose by a button; after a click by mouse the keys belong to the study again. */
  click(event, kind, value) {
    this.choose(kind, value);
    if (event.detail) event.currentTarget.blur();
  }

  choose(kind, value) {
    this[kind] = value;
    (kind === "answer" ? this.answers : this.confidences).forEach((toggle) => toggle.set(toggle.value === value));
    this.saving.disabled = !this.active || this.answer === null || this.confidence === null;
  }

  setActive(active) {
    this.active = active;
    for (const { element: control } of [...this.answers, ...this.confidences]) control.disabled = !active;
    this.saving.disabled = true;
    this.undoing.disabled = !this.name;
  }

  /** Store the answer; the page goes on when the server has it on its disk. */
  async save() {
    if (!this.active || this.answer === null || this.confidence === null) return;
    const { answer, confidence } = this;
    const seconds = Math.min((performance.now() - this.began) / 1000, LONGEST_SECONDS);
    this.setActive(false);
    const given = { reader: this.name, image: this.next, answer, confidence, seconds };
    const state = await this.post("answers", given).catch((error) => {
      this.setActive(true);
      this.choose("answer", answer);
      throw error;
    });
    report("Saved.");
    await this.follow(state);
  }

  async undo() {
    if (!this.name) return;
    const state = await this.post("undo", { reader: this.name });
    report("The last answer is taken back.");
    await this.follow(state);
  }

  bindings() {
    const when = (run) => () => this.active && run();
    return [
      ...ANSWERS.map(([value, text, key]) => ({ keys: [key], text, run: when(() => this.choose("answer", value)) })),
      ...CONFIDENCES.map((text) => ({
        keys: [text],
        text: "Confidence",
        shown: "1 to 5",
        hidden: text !== "1",
        run: when(() => this.choose("confidence", Number(text))),
      })),
      { keys: ["enter"], text: "Save", run: () => attempt(() => this.save()) },
      { keys: ["u"], text: "Take back the last answer", run: () => attempt(() => this.undo()) },
    ];
  }
}
