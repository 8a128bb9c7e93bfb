// The desk: panes of a joint and the panel of controls beside them. The rooms and the exported file share it.

import { Pane } from "./pane.js";
import { Scene } from "./scene.js";
import { automaticWindow, composedAtRest } from "./planes.js";
import { bindKeys } from "./keys.js";
import { NumberSlider, button, element, section, toggleButton } from "./widgets.js";

const LARGEST_CHANGE_MM = 3;
const JOINT_SPACE_MM = [-1, 5];
const LAYERS = [
  ["soft", "Soft", "1", "Soft tissue"],
  ["lower", "Lower", "2", "Lower bone"],
  ["upper", "Upper", "3", "Upper bone"],
];
const MARKS = [
  ["masks", "Masks", "m", "Outlines of the masks"],
  ["surfaces", "Surfaces", "s", "Joint surfaces"],
  ["displacement", "Distance", "d", "Joint space and displacement"],
];
const STEPS_MM = { unit: "mm", step: 0.1, fine: 0.01, digits: 2 };

/** Images of one joint with the controls of its motion, layers and view. */
export class Desk {
  constructor(report) {
    this.scene = new Scene();
    this.pane = new Pane(this.scene, { report });
    this.panes = element("div", { class: "panes" }, this.pane.element);
    this.panel = element("div", { class: "panel" }, this.motionSection(), this.layerSection(), this.viewSection());
    this.element = element("div", { class: "desk" }, this.panes, this.panel);
    this.unlisten = this.scene.listen(() => this.sync());
    this.unbind = bindKeys("Image", this.bindings());
    this.sync();
  }

  /** Show a joint; its motion starts at rest, the view stays. */
  show(planes, geometry) {
    Object.assign(this, { planes, geometry });
    this.pane.setJoint(planes, geometry, geometry.name);
    this.reference?.setJoint(planes, geometry, "Original");
    this.setSpaceRange();
    this.scene.rest();
  }

  /** Stop listening and release the memory. */
  close() {
    this.unlisten();
    this.unbind();
    this.pane.close();
    this.reference?.close();
  }

  setSpaceRange() {
    const { joint_space_mm: measured, refused } = this.geometry;
    this.measured = measured === null || refused ? null : measured;
    const absolute = this.measured !== null;
    this.space.label.textContent = absolute ? "Joint space" : "Change of joint space";
    this.space.note.textContent = absolute ? `measured ${measured.toFixed(2)}` : "";
    this.space.note.title = refused || "";
    if (absolute) this.space.setRange(Math.min(JOINT_SPACE_MM[0], measured), Math.max(JOINT_SPACE_MM[1], measured));
    else this.space.setRange(-LARGEST_CHANGE_MM, LARGEST_CHANGE_MM);
  }

  motionSection() {
    const slider = (label, name, key, given) =>
      new NumberSlider({ label, key, changed: (value) => this.scene.move(name, value), ...given });
    this.space = slider("Joint space", "change_mm", "j", {
      ...STEPS_MM,
      low: -LARGEST_CHANGE_MM,
      high: LARGEST_CHANGE_MM,
      changed: (value) => this.setSpace(value),
    });
    this.sideways = slider("Sideways", "sideways_mm", "k", { ...STEPS_MM, low: -3, high: 3 });
    this.rotation = slider("Rotation", "rotation_deg", "l", {
      unit: "\u00b0",
      step: 1,
      fine: 0.1,
      digits: 1,
      low: -15,
      high: 15,
    });
    const rest = button("Back to original", () => this.scene.rest(), { title: "Key 0" });
    return section(
      "Motion of the bones",
      this.space.element,
      this.sideways.element,
      this.rotation.element,
      element("div", { class: "row" }, rest),
    );
  }

  setSpace(value) {
    this.scene.move("change_mm", Number((value - (this.measured ?? 0)).toFixed(6)));
  }

  layerSection() {
    const row = (group, entries) =>
      entries.map(([name, text, key, full]) => {
        const made = toggleButton(text, () => this.scene.toggle(group, name), {
          title: `${full}; key ${key}`,
          "aria-label": full,
          "data-mark": name,
        });
        this.toggles = [...(this.toggles ?? []), () => made.set(this.scene[group][name])];
        return made.element;
      });
    return section(
      "Layers and marks",
      element("div", { class: "row three" }, ...row("layers", LAYERS)),
      element("div", { class: "row three" }, ...row("marks", MARKS)),
    );
  }

  viewSection() {
    const pan = toggleButton("Pan", () => this.use("pan"), { title: "Dragging moves the image" });
    const level = toggleButton("Window", () => this.use("window"), {
      title: "Dragging changes window and level; also with the right button, or with W held",
    });
    const invert = toggleButton("Invert", () => this.invert(), { title: "Key i" });
    const compare = toggleButton("Original", () => this.compare(), { title: "Original beside the image; key o" });
    this.toggles.push(
      () => pan.set(this.scene.tool === "pan"),
      () => level.set(this.scene.tool === "window"),
      () => invert.set(this.scene.invert),
      () => compare.set(this.scene.comparing),
    );
    const reset = button("Reset", () => this.scene.resetView(), { title: "Reset zoom, window and inversion; key r" });
    const auto = button("Auto", () => this.autoWindow(), { title: "Automatic window; key a" });
    return section(
      "View",
      element("div", { class: "row three" }, pan.element, level.element, invert.element),
      element("div", { class: "row three" }, auto, reset, compare.element),
    );
  }

  use(tool) {
    this.scene.change((scene) => {
      scene.tool = tool;
    });
  }

  invert() {
    this.scene.change((scene) => {
      scene.invert = !scene.invert;
    });
  }

  autoWindow() {
    if (!this.geometry) return;
    const window = automaticWindow(composedAtRest(this.planes, this.geometry));
    this.scene.change((scene) => {
      scene.window = window;
    });
  }

  /** Show or hide the original beside the image. */
  compare() {
    this.scene.change((scene) => {
      scene.comparing = !scene.comparing;
    });
    if (!this.scene.comparing) {
      this.reference.close();
      this.reference.element.remove();
      this.reference = null;
      return;
    }
    this.reference = new Pane(this.scene, { original: true, label: "Original radiograph" });
    this.panes.prepend(this.reference.element);
    if (this.geometry) this.reference.setJoint(this.planes, this.geometry, "Original");
  }

  sync() {
    const { change_mm: change, sideways_mm: sideways, rotation_deg: rotation } = this.scene.motion;
    this.space.show((this.measured ?? 0) + change);
    this.sideways.show(sideways);
    this.rotation.show(rotation);
    this.toggles.forEach((show) => show());
  }

  zoom(factor) {
    this.scene.zoomAbout(factor, [0, 0]);
  }

  bindings() {
    const toggles = [
      ["layers", LAYERS],
      ["marks", MARKS],
    ].flatMap(([group, entries]) =>
      entries.map(([name, , key, full]) => ({
        keys: [key],
        text: `${full} on or off`,
        run: () => this.scene.toggle(group, name),
      })),
    );
    const sliders = [
      [this.space, "j", "joint space"],
      [this.sideways, "k", "sideways"],
      [this.rotation, "l", "rotation"],
    ];
    return [
      ...toggles,
      ...sliders.map(([slider, key, name]) => ({
        keys: [key],
        text: `Go to the slider of ${name}`,
        run: () => slider.range.focus(),
      })),
      { shown: "Arrow keys", text: "In a slider: 0.1 mm or 1\u00b0; with Shift 0.01 mm or 0.1\u00b0" },
      { keys: ["0"], text: "Bones back to the original", run: () => this.scene.rest() },
      { keys: ["o"], text: "Original beside the image", run: () => this.compare() },
      { keys: ["i"], text: "Invert", run: () => this.invert() },
      { keys: ["a"], text: "Automatic window", run: () => this.autoWindow() },
      { keys: ["r"], text: "Reset zoom, window and inversion", run: () => this.scene.resetView() },
      { keys: ["+", "="], shown: "+", text: "Zoom in", run: () => this.zoom(1.25) },
      { keys: ["-"], text: "Zoom out", run: () => this.zoom(0.8) },
      { keys: ["v"], text: "Go to the image; arrow keys move it", run: () => this.pane.element.focus() },
      { shown: "W + arrow keys", text: "On the image: window and level" },
      { shown: "Wheel", text: "Zoom about the pointer; double click fits" },
      { shown: "Right drag, W + drag", text: "Window (across) and level (down)" },
    ];
  }
}
