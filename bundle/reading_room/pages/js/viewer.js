// The exported file: joints that are embedded in the page are looked at and moved without a server.
//
// The page holds <script type="application/json" id="joints">: {title, version, joints: [{...geometry, planes}]}.
// A geometry is the answer of /api/joints/ID; planes are its planes, compressed with gzip, in base64.

import { Desk } from "./desk.js";
import { bindKeys, showKeys, startKeyboard } from "./keys.js";
import { splitPlanes } from "./planes.js";
import { followTheme, nextTheme } from "./theme.js";
import { button, element, section, select } from "./widgets.js";

/** Return the planes of an embedded joint. */
export async function embeddedPlanes(joint) {
  const bytes = Uint8Array.from(atob(joint.planes), (letter) => letter.charCodeAt(0));
  const plain = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return splitPlanes(await new Response(plain).arrayBuffer(), joint);
}

/** Page that shows embedded joints. */
export class Viewer {
  constructor(body, { title, version, joints }) {
    this.joints = joints;
    this.status = element("span", { id: "status", role: "status", "aria-live": "polite" });
    this.desk = new Desk((message) => this.report(message));
    this.desk.panel.prepend(this.jointSection());
    const theme = button("Colours: auto", nextTheme, {
      id: "theme",
      class: "quiet",
      title: "Automatic, light or dark; key t",
    });
    const keys = button("Keys", showKeys, { class: "quiet", title: "Keys and gestures; key ?" });
    const top = element(
      "header",
      { class: "top" },
      element("strong", { id: "title" }, title),
      element("span", { class: "space" }),
      element("span", { id: "version" }, version ? `version ${version}` : ""),
      theme,
      keys,
    );
    const bottom = element("footer", { class: "bottom" }, this.status, element("span", {}, "Not for diagnostic use"));
    body.replaceChildren(top, element("main", { id: "room" }, this.desk.element), bottom);
    bindKeys("Joints", this.bindings());
  }

  /** Show a joint by its place in the file. */
  async show(place) {
    this.place = place;
    this.choice.control.value = String(place);
    const joint = this.joints[place];
    try {
      const planes = await embeddedPlanes(joint);
      if (this.place !== place) return;
      this.desk.show(planes, joint);
      this.facts.textContent = embeddedFacts(joint);
      this.report("");
    } catch (error) {
      this.report(`${joint.name} cannot be shown: ${error.message}`);
    }
  }

  report(message) {
    this.status.textContent = message;
  }

  jointSection() {
    this.choice = select(
      "Joint",
      this.joints.map(({ name }, place) => [String(place), name]),
      (place) => this.show(Number(place)),
    );
    this.facts = element("p", { class: "facts" });
    const steps = element(
      "div",
      { class: "row three" },
      button("Previous", () => this.step(-1), { title: "Key p" }),
      button("Next", () => this.step(1), { title: "Key n" }),
    );
    return section("Joint", steps, this.choice.control, this.facts);
  }

  step(direction) {
    const next = this.place + direction;
    if (next in this.joints) this.show(next);
    else this.report(direction > 0 ? "This is the last joint of the file." : "This is the first joint of the file.");
  }

  bindings() {
    return [
      { keys: ["n", "pagedown"], shown: "n, Page Down", text: "Next joint", run: () => this.step(1) },
      { keys: ["p", "pageup"], shown: "p, Page Up", text: "Previous joint", run: () => this.step(-1) },
      { keys: ["t"], text: "Light, dark or automatic colours", run: nextTheme },
      { keys: ["?"], text: "This table", run: showKeys },
    ];
  }
}

/** Start the viewer of a page that embeds joints. */
export function startViewer() {
  const embedded = document.getElementById("joints");
  if (!embedded) return;
  const viewer = new Viewer(document.body, JSON.parse(embedded.textContent));
  followTheme();
  startKeyboard();
  if (viewer.joints.length) viewer.show(0);
  else viewer.report("The file holds no joints.");
}

function embeddedFacts({ joint_space_mm: mean, joint_space_sd_mm: sd, refused }) {
  if (refused || mean === null) return `joint space refused: ${refused}`;
  return `${mean.toFixed(2)}${sd === null ? "" : ` \u00b1 ${sd.toFixed(2)}`} mm`;
}

startViewer();
