// The room "Visits": two radiographs of a joint, registered, and the joint space over the visits of a patient.

import { getBytes, getJson } from "./api.js";
import { isDated, plotted } from "./curve.js";
import { bindKeys } from "./keys.js";
import { openedJoint } from "./look.js";
import { PairView } from "./pair_view.js";
import { report, reportFault } from "./status.js";
import { button, element, section, select, textTable, toggleButton } from "./widgets.js";

const VIEWS = [
  ["blink", "Blink", "b"],
  ["difference", "Difference", "d"],
  ["beside", "Side by side", "s"],
];

/** Open the room in an element. */
export function open(place) {
  return new Visits(place);
}

class Visits {
  constructor(place) {
    this.joints = [];
    this.view = new PairView();
    this.cover = element("div", { class: "cover", role: "status" });
    const panes = element("div", { class: "panes" }, this.view.element, this.cover);
    this.joint = select("Joint", [["", "none"]], () => this.chooseJoint());
    const dated = (label) => select(label, [["", "none"]], () => this.compare());
    [this.before, this.after] = [dated("Earlier"), dated("Later")];
    this.undated = element("p", { class: "hint", hidden: true }, "The days are unknown: radiographs by name.");
    this.figures = element("div", { id: "figures" });
    this.curve = element("div", { class: "curve" });
    this.toggles = VIEWS.map(([name, text, key]) => ({
      name,
      ...toggleButton(text, () => this.show_as(name), { title: `Key ${key}` }),
    }));
    const panel = element(
      "div",
      { class: "panel" },
      section(
        "Joint",
        this.joint.element,
        this.before.element,
        this.after.element,
        this.undated,
        element(
          "div",
          { class: "row three" },
          button("Previous", () => this.step(-1), { title: "Key p" }),
          button("Next", () => this.step(1), { title: "Key n" }),
        ),
      ),
      section("View", element("div", { class: "row fill" }, ...this.toggles.map(({ element: made }) => made))),
      section("Change", this.figures),
      section("Joint spaces of the patient", this.curve),
    );
    place.append(element("div", { class: "desk" }, panes, panel));
    this.unbind = bindKeys("Visits", this.bindings());
    this.show_as("blink");
  }

  /** List the joints with several radiographs and compare the first and the last one of the first. */
  async show() {
    this.rest("Loading\u2026");
    const { joints } = await getJson("/api/visits");
    this.joints = joints;
    if (!joints.length) {
      this.rest("No joint has two radiographs. They need the patient, the side and the finger in common.");
      return;
    }
    this.joint.setOptions(joints.map((joint, place) => [String(place), named(joint)]));
    await this.chooseJoint();
  }

  /** Stop listening and blinking. */
  close() {
    this.wanted = null;
    this.unbind();
    this.view.close();
  }

  async chooseJoint() {
    const { visits } = this.chosen();
    this.undated.hidden = isDated({ visits });
    const options = visits.map((visit) => [visit.id, visit.visit === null ? visit.name : `day ${visit.visit}`]);
    this.before.setOptions(options);
    this.after.setOptions(options);
    this.before.control.value = visits[0].id;
    this.after.control.value = visits[visits.length - 1].id;
    this.plot();
    await this.compare();
  }

  chosen() {
    return this.joints[Number(this.joint.control.value)];
  }

  plot() {
    const { patient } = this.chosen();
    this.curve.replaceChildren(
      plotted(
        this.joints.filter((joint) => joint.patient === patient),
        this.chosen(),
      ),
    );
  }

  /** Register the chosen radiographs and show them. */
  async compare() {
    const pair = [this.before.control.value, this.after.control.value];
    this.wanted = pair.join();
    const gone = () => this.wanted !== pair.join();
    this.figures.replaceChildren();
    if (pair[0] === pair[1]) return this.rest("Choose two different radiographs.");
    try {
      for (const id of pair) await this.opened(id, gone);
      if (gone()) return undefined;
      this.rest("Registering\u2026");
      const address = `/api/pairs/${pair.map(encodeURIComponent).join("/")}`;
      const [facts, bytes] = await Promise.all([getJson(address), getBytes(`${address}/planes`)]);
      if (gone()) return undefined;
      this.view.show(bytes, facts);
      this.cover.hidden = true;
      this.figures.replaceChildren(changeTable(facts));
      await this.update();
    } catch (error) {
      if (!gone()) this.rest(error.message, true);
    }
    return undefined;
  }

  async opened(id, gone) {
    const answer = await openedJoint(id, ({ stage }) => gone() || this.rest(`${stage}\u2026`), gone);
    if (answer.state === "failed") throw new Error(answer.failure);
    if (answer.state === "hand") throw new Error("The radiograph shows several joints. Open it in the list.");
  }

  /** Show joint spaces that were measured while the pair was opened. */
  async update() {
    const { joints } = await getJson("/api/visits");
    if (joints.length !== this.joints.length) return;
    this.joints = joints;
    this.plot();
  }

  rest(text, wrong = false) {
    this.cover.replaceChildren(element("p", wrong ? { class: "wrong" } : {}, text));
    this.cover.hidden = false;
  }

  show_as(name) {
    this.view.show_as(name);
    this.toggles.forEach((toggle) => toggle.set(toggle.name === name));
  }

  step(direction) {
    const next = Number(this.joint.control.value) + direction;
    if (!(next in this.joints)) {
      report(direction > 0 ? "This is the last joint." : "This is the first joint.");
      return;
    }
    this.joint.control.value = String(next);
    this.chooseJoint().catch(reportFault);
  }

  bindings() {
    return [
      ...VIEWS.map(([name, text, key]) => ({ keys: [key], text, run: () => this.show_as(name) })),
      { keys: [" "], shown: "Space", text: "Stop blinking: earlier and later in turn", run: () => this.view.turn() },
      { keys: ["n", "pagedown"], shown: "n, Page Down", text: "Next joint", run: () => this.step(1) },
      { keys: ["p", "pageup"], shown: "p, Page Up", text: "Previous joint", run: () => this.step(-1) },
    ];
  }
}

function named({ patient, side, finger, joint }) {
  return [patient, side, finger, joint].filter(Boolean).join(" ");
}

function changeTable(facts) {
  const [before, after] = facts.joint_space_mm;
  const rows = [
    ["Joint space, earlier", millimetres(before)],
    ["Joint space, later", millimetres(after)],
    ["Change, measured", signed(facts.change_mm)],
    ["Change, registered", signed(facts.registered_change_mm)],
    ["Smallest detectable", millimetres(facts.smallest_detectable_change_mm)],
    ["Exceeds it", facts.exceeds === null ? "unknown" : facts.exceeds ? "yes" : "no"],
    ["Registration", facts.plausible ? "plausible" : facts.reasons.join("; ")],
  ];
  return textTable(["", ""], rows);
}

function millimetres(value) {
  return value === null ? "refused" : `${value.toFixed(2)} mm`;
}

function signed(value) {
  return value === null ? "unknown" : `${value > 0 ? "+" : ""}${value.toFixed(2)} mm`;
}
