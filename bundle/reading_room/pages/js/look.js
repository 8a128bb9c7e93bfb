// The room "Look": one joint with its layers, marks, and bones that can be moved.

import { getBytes, getJson, jointAddress, postForFile, postJson } from "./api.js";
import { Desk } from "./desk.js";
import { showExport } from "./export.js";
import { bindKeys } from "./keys.js";
import { splitPlanes } from "./planes.js";
import { clearStatus, report, reportFault } from "./status.js";
import { button, checkbox, element, parsedNumber, saveFile, section } from "./widgets.js";

const PERIOD_MS = 200;
const LARGEST_SEED = 2 ** 31 - 1;

/** Open the room in an element. */
export function open(place, { joints, go }) {
  return new Look(place, joints, go);
}

/** Open a joint on the server and report its progress until it is ready; returns the last answer. */
export async function openedJoint(id, progress, stopped = () => false) {
  for (;;) {
    const answer = await postJson(jointAddress(id, "open"));
    if (answer.state !== "opening" || stopped()) return answer;
    progress(answer);
    await new Promise((resolve) => {
      setTimeout(resolve, PERIOD_MS);
    });
  }
}

/** Get the geometry and the planes of a joint that is ready. */
export async function loadedJoint(id) {
  const [geometry, bytes] = await Promise.all([getJson(jointAddress(id)), getBytes(jointAddress(id, "planes"))]);
  return { geometry, planes: splitPlanes(bytes, geometry) };
}

class Look {
  constructor(place, joints, go) {
    Object.assign(this, { joints, go, id: null });
    this.desk = new Desk(reportFault);
    this.cover = element("div", { class: "cover", role: "status", hidden: true });
    this.desk.panes.append(this.cover);
    this.facts = element("p", { class: "facts" });
    this.name = element("h1", {});
    const step = (text, direction, key) => button(text, () => this.step(direction), { title: `Key ${key}` });
    const steps = element(
      "div",
      { class: "row three" },
      step("Previous", -1, "p"),
      step("Next", 1, "n"),
      button("List", () => go("list"), { title: "Escape" }),
    );
    this.desk.panel.prepend(element("section", { class: "section facing" }, steps, this.name, this.facts));
    this.desk.panel.append(this.saveSection());
    place.append(this.desk.element);
    this.unbind = bindKeys("Look", this.bindings());
    this.update = () => this.showFacts();
    joints.addEventListener("change", this.update);
  }

  /** Stop listening and release the memory. */
  close() {
    this.id = null;
    this.unbind();
    this.joints.removeEventListener("change", this.update);
    this.desk.close();
  }

  /** Show the joint of the address, or the selected one, or the first. */
  async show([given]) {
    const id = given ?? this.joints.selected ?? this.joints.neighbour(null, 0)?.id ?? null;
    this.id = id;
    if (id === null) return this.showCover("There is no joint to look at yet.");
    this.joints.selected = id;
    this.showFacts();
    this.showCover("Opening\u2026");
    const gone = () => this.id !== id;
    try {
      const answer = await openedJoint(id, (stage) => gone() || this.showProgress(stage), gone);
      if (!gone()) await this.take(id, answer, gone);
    } catch (error) {
      if (!gone()) this.showCover(error.message, true);
    }
    return undefined;
  }

  async take(id, answer, gone) {
    if (answer.state === "failed") return this.showCover(answer.failure, true);
    if (answer.state === "hand") return this.enterHand(answer.joints);
    const { geometry, planes } = await loadedJoint(id);
    if (gone()) return undefined;
    this.desk.show(planes, geometry);
    this.geometry = geometry;
    this.cover.hidden = true;
    this.showFacts();
    return undefined;
  }

  async enterHand(ids) {
    await this.joints.refresh();
    if (!ids.length) return this.showCover("No joint was found in the radiograph of the hand.", true);
    report(`The radiograph shows a hand with ${ids.length} ${ids.length === 1 ? "joint" : "joints"}.`);
    return this.go("look", ids[0]);
  }

  showProgress({ stage, fraction }) {
    const known = typeof fraction === "number";
    const bar = element("progress", { max: 1, value: known ? fraction : null, "aria-label": stage });
    this.setCover(element("p", {}, `${stage[0].toUpperCase()}${stage.slice(1)}\u2026`), bar);
  }

  showCover(text, wrong = false) {
    this.setCover(element("p", wrong ? { class: "wrong" } : {}, text));
    return undefined;
  }

  setCover(...children) {
    this.cover.replaceChildren(...children);
    this.cover.hidden = false;
  }

  showFacts() {
    const row = this.joints.byId.get(this.id);
    this.name.textContent = row?.name ?? "";
    this.name.title = row?.name ?? "";
    const facts = row
      ? [
          row.finger,
          row.hand && `hand ${row.hand}`,
          measured(row, this.geometry),
          row.grade !== null && `grade ${row.grade}`,
          row.plausible === false && "implausible",
        ]
      : [];
    this.facts.textContent = facts.filter(Boolean).join(" \u00b7 ");
    this.facts.title = (row?.reasons ?? []).join("; ");
  }

  step(direction) {
    const next = this.joints.neighbour(this.id, direction);
    clearStatus();
    if (next) this.go("look", next.id);
    else report(direction > 0 ? "This is the last joint of the list." : "This is the first joint of the list.");
  }

  saveSection() {
    this.noise = checkbox("Noise texture, seed", true, () => {}, {
      title: "Noise texture in the tissue that the bones uncover",
    });
    this.seed = element("input", {
      type: "text",
      inputmode: "numeric",
      "aria-label": "Seed of the noise texture",
      value: "0",
      class: "seed",
    });
    this.saves = [
      ["png", "PNG"],
      ["dcm", "DICOM"],
    ].map(([format, text]) => button(text, () => this.save(format)));
    const whole = button("Export\u2026", () => showExport(this.joints, this.id), {
      title: "Joints as one HTML file; key x",
    });
    return section(
      "Save",
      element("div", { class: "row" }, this.noise.element, this.seed),
      element("div", { class: "row three" }, ...this.saves, whole),
    );
  }

  async save(format) {
    const seed = parsedNumber(this.seed.value);
    const valid = Number.isInteger(seed) && seed >= 0 && seed <= LARGEST_SEED;
    this.seed.classList.toggle("wrong", !valid);
    if (!valid) return reportFault(`The seed must be a whole number from 0 to ${LARGEST_SEED}.`);
    if (!this.geometry || !this.cover.hidden) return reportFault("Open a joint first.");
    const wanted = { ...this.desk.scene.motion, noise_texture: this.noise.control.checked, seed, format };
    report("Synthesizing\u2026");
    this.saves.forEach((each) => {
      each.disabled = true;
    });
    try {
      const file = await postForFile(jointAddress(this.id, "synthesize"), wanted, `${this.geometry.name}.${format}`);
      saveFile(file.blob, file.name);
      report(`Saved ${file.name}.`);
    } catch (error) {
      clearStatus();
      reportFault(error);
    }
    this.saves.forEach((each) => {
      each.disabled = false;
    });
    return undefined;
  }

  bindings() {
    return [
      { keys: ["n", "pagedown"], shown: "n, Page Down", text: "Next joint of the list", run: () => this.step(1) },
      { keys: ["p", "pageup"], shown: "p, Page Up", text: "Previous joint of the list", run: () => this.step(-1) },
      { keys: ["x"], text: "Export joints as one file", run: () => showExport(this.joints, this.id) },
      { keys: ["escape"], shown: "Escape", text: "Back to the list", run: () => this.go("list") },
    ];
  }
}

function measured(row, geometry) {
  const space = geometry?.id === row.id && !geometry.refused ? geometry : row;
  if (row.refused || (geometry?.id === row.id && geometry.refused))
    return `joint space refused: ${geometry?.refused || (row.reasons ?? []).join("; ")}`;
  if (space.joint_space_mm === null || space.joint_space_mm === undefined) return null;
  const sd = space.joint_space_sd_mm;
  return `${space.joint_space_mm.toFixed(2)}${sd === null || sd === undefined ? "" : ` \u00b1 ${sd.toFixed(2)}`} mm`;
}
