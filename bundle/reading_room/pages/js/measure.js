// The room "Measure": the joint space by moving the bones until the joint surfaces touch, blind and in random order.

import { postJson } from "./api.js";
import { BonePane } from "./bone_pane.js";
import { bindKeys } from "./keys.js";
import { loadedJoint, openedJoint } from "./look.js";
import { ReaderSection } from "./readers.js";
import { reportDialog } from "./reports.js";
import { Scene } from "./scene.js";
import { automaticWindow, composedAtRest } from "./planes.js";
import { attempt, report, reportFault } from "./status.js";
import { NumberSlider, button, checkbox, element, section, toggleButton } from "./widgets.js";

const GRADES = ["0", "1", "2", "3", "4"];
const FINE_MM = 0.01;
const COARSE_MM = 0.1;
const LONGEST_SECONDS = 86400;

/** Open the room in an element. */
export function open(place, house) {
  return new Measure(place, house);
}

class Measure {
  constructor(place, { joints }) {
    Object.assign(this, { joints, reader: null, next: null, grade: null });
    this.scene = new Scene();
    this.scene.change((scene) => {
      scene.marks = { masks: false, surfaces: false, displacement: false };
      scene.tool = "bone";
    });
    this.pane = new BonePane(this.scene, { report: reportFault });
    this.cover = element("div", { class: "cover", role: "status" });
    const panes = element("div", { class: "panes" }, this.pane.element, this.cover);
    this.readers = new ReaderSection("/api/measuring", (reader, again) => this.begin(reader, again));
    this.reading = this.readingSection();
    const panel = element("div", { class: "panel" }, this.readers.element, this.reading, this.resultSection());
    place.append(element("div", { class: "desk" }, panes, panel));
    this.unlisten = this.scene.listen(() => this.sync());
    this.unbind = bindKeys("Measure", this.bindings());
  }

  /** Show the start of the room. */
  async show() {
    this.rest(
      "Enter your name and begin. Move the bones until the joint surfaces touch; the distance is the joint space.",
    );
    await this.readers.refresh();
  }

  /** Stop listening and release the memory. */
  close() {
    this.next = null;
    this.unlisten();
    this.unbind();
    this.pane.close();
  }

  async begin(reader, again) {
    const ids = again
      ? this.joints
          .visible()
          .filter(({ state }) => state !== "failed")
          .map(({ id }) => id)
      : null;
    await this.follow(await postJson("/api/measuring/begin", { reader, new: again, ids }));
  }

  /** Show the next joint of the session. */
  async follow(state) {
    Object.assign(this, { reader: state.reader, next: state.next, place: state.place });
    this.readers.name.value = state.reader;
    this.readers.refresh();
    this.progress.textContent = `${state.done} of ${state.total} measured`;
    if (state.next === null) return this.rest("All joints of the session are measured. Thank you.");
    this.rest("Opening\u2026");
    const gone = () => this.next !== state.next || this.place !== state.place;
    try {
      await this.load(state, gone);
    } catch (error) {
      if (!gone()) this.rest(`The joint cannot be shown: ${error.message} Begin again to go on.`, true);
    }
    return undefined;
  }

  async load({ next: id, place, total }, gone) {
    const answer = await openedJoint(id, ({ stage }) => gone() || this.rest(`${stage}\u2026`), gone).catch(absent);
    if (gone()) return undefined;
    if (answer.state !== "ready") return this.skip(answer.failure ?? "The radiograph shows several joints.");
    const { geometry, planes } = await loadedJoint(id);
    if (!gone()) this.present(geometry, planes, `Joint ${place + 1} of ${total}`);
    return undefined;
  }

  /** Offer to go on without a joint that cannot be opened. */
  skip(reason) {
    this.rest(`${reason} Go on with \u201cJoint cannot be measured\u201d, key x.`, true);
    this.began = performance.now();
    this.setActive(false, true);
  }

  present(geometry, planes, caption) {
    this.geometry = geometry;
    this.pane.setJoint(planes, geometry, caption);
    this.setGrade(null);
    const window = automaticWindow(composedAtRest(planes, geometry));
    this.scene.change((scene) => {
      scene.fit();
      scene.window = window;
    });
    this.scene.rest();
    this.cover.hidden = true;
    this.setActive(true);
    this.began = performance.now();
    this.pane.element.focus({ preventScroll: true });
  }

  rest(text, wrong = false) {
    this.cover.replaceChildren(element("p", wrong ? { class: "wrong" } : {}, text));
    this.cover.hidden = false;
    this.setActive(false);
  }

  setActive(active, skippable = active) {
    Object.assign(this, { active, skippable });
    for (const control of this.reading.querySelectorAll("button, input")) control.disabled = !active;
    this.skipping.disabled = !skippable;
    this.undoing.disabled = this.reader === null;
  }

  readingSection() {
    const slider = (label, name, sign, range) =>
      new NumberSlider({
        label,
        unit: "mm",
        step: COARSE_MM,
        fine: FINE_MM,
        digits: 2,
        ...range,
        changed: (value) => this.scene.move(name, sign * value),
      });
    this.distance = slider("Distance", "change_mm", -1, { low: -2, high: 6 });
    this.sideways = slider("Sideways", "sideways_mm", 1, { low: -3, high: 3 });
    this.grades = GRADES.map((grade) =>
      toggleButton(grade, (event) => this.clickGrade(event, Number(grade)), {
        title: `Grade of narrowing; key ${grade}`,
      }),
    );
    this.undoing = button("Undo", () => attempt(() => this.undo()), {
      title: "Take back the last measurement; key u",
      id: "undo",
    });
    this.skipping = button("Joint cannot be measured", () => attempt(() => this.save(false)), {
      title: "Key x",
      id: "cannot",
    });
    this.progress = element("p", { class: "facts", id: "progress" });
    return section(
      "Measurement",
      this.progress,
      element("p", {}, "Drag the bones, or use the arrow keys, until the joint surfaces touch."),
      this.distance.element,
      this.sideways.element,
      element("p", {}, "Grade of narrowing, if you wish"),
      element(
        "div",
        { class: "row five", role: "group", "aria-label": "Grade of narrowing" },
        ...this.grades.map(({ element: made }) => made),
      ),
      element(
        "div",
        { class: "row two" },
        button("Save", () => attempt(() => this.save(true)), { class: "primary", title: "Key Enter", id: "save" }),
        this.undoing,
      ),
      this.skipping,
    );
  }

  resultSection() {
    this.comparing = checkbox("Show the automatic value after saving", false, () => {});
    return section(
      "Results",
      this.comparing.element,
      element(
        "div",
        { class: "row two" },
        button(
          "Agreement\u2026",
          () => attempt(() => reportDialog("Agreement of the measurements", "/api/measuring/report")),
          { id: "agreement" },
        ),
      ),
    );
  }

  /** Take a grade; after a click by mouse the keys belong to the image again. */
  clickGrade(event, grade) {
    this.setGrade(grade);
    if (event.detail) this.pane.element.focus({ preventScroll: true });
  }

  setGrade(grade) {
    this.grade = grade;
    this.grades.forEach(({ set }, place) => set(place === grade));
  }

  sync() {
    const { change_mm: change, sideways_mm: sideways } = this.scene.motion;
    this.distance.show(change === 0 ? 0 : -change);
    this.sideways.show(sideways);
  }

  step(name, direction, event) {
    if (!this.active) return;
    const length = direction * (event.shiftKey ? COARSE_MM : FINE_MM);
    this.scene.move(name, Number((this.scene.motion[name] + length).toFixed(2)));
  }

  /** Store the measurement; the page goes on when the server has it on its disk. */
  async save(measurable) {
    const { skippable } = this;
    if (measurable ? !this.active : !skippable) return;
    const { change_mm: change, sideways_mm: sideways } = this.scene.motion;
    const known = {
      reader: this.reader,
      id: this.next,
      place: this.place,
      grade: this.grade,
      seconds: Math.min((performance.now() - this.began) / 1000, LONGEST_SECONDS),
    };
    const measured = measurable
      ? { value_mm: change === 0 ? 0 : -change, displacement_mm: [sideways, change === 0 ? 0 : -change] }
      : { value_mm: null, displacement_mm: null };
    const automatic = this.geometry;
    const wasActive = this.active;
    this.setActive(false);
    const state = await postJson("/api/measuring/readings", { ...known, ...measured }).catch((error) => {
      this.setActive(wasActive, skippable);
      throw error;
    });
    report(`Saved${this.comparing.control.checked ? compared(measured.value_mm, automatic) : "."}`);
    await this.follow(state);
  }

  async undo() {
    const state = await postJson("/api/measuring/undo", { reader: this.reader });
    report("The last measurement is taken back.");
    await this.follow(state);
  }

  bindings() {
    const arrows = [
      ["arrowdown", "change_mm", -1, "Bones closer by 0.01 mm; with Shift 0.1 mm"],
      ["arrowup", "change_mm", 1, "Bones apart"],
      ["arrowleft", "sideways_mm", -1, "Upper bone to the left"],
      ["arrowright", "sideways_mm", 1, "Upper bone to the right"],
    ];
    return [
      ...arrows.map(([key, name, direction, text]) => ({
        keys: [key],
        text,
        run: (event) => this.step(name, direction, event),
      })),
      ...GRADES.map((grade) => ({
        keys: [grade],
        text: `Grade ${grade}`,
        hidden: grade !== "0",
        shown: "0 to 4",
        run: () => this.active && this.setGrade(Number(grade)),
      })),
      { keys: ["enter"], text: "Save", run: () => attempt(() => this.save(true)) },
      { keys: ["x"], text: "The joint cannot be measured", run: () => attempt(() => this.save(false)) },
      {
        keys: ["u"],
        text: "Take back the last measurement",
        run: () => this.reader !== null && attempt(() => this.undo()),
      },
      { keys: ["z"], text: "Bones back to their places", run: () => this.active && this.scene.rest() },
      {
        keys: ["i"],
        text: "Invert",
        run: () =>
          this.scene.change((scene) => {
            scene.invert = !scene.invert;
          }),
      },
      { shown: "Drag", text: "Move the bones; with W or the right button window and level, with Space move the image" },
    ];
  }
}

/** A joint that the list no longer has cannot be opened; another fault stays one. */
function absent(error) {
  if (error.status !== 404) throw error;
  return { state: "failed", failure: "The list no longer has this joint." };
}

function compared(value, { joint_space_mm: automatic, refused }) {
  if (automatic === null) return `; the automatic measurement is refused: ${refused}.`;
  return `; automatic ${automatic.toFixed(2)} mm${value === null ? "" : `, yours ${value.toFixed(2)} mm`}.`;
}
