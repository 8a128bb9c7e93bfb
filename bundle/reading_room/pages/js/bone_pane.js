// A pane in which dragging moves the bones along and across the axis of the joint.

import { isHeld } from "./keys.js";
import { jointAxes } from "./motion.js";
import { Pane } from "./pane.js";

const MAIN_BUTTON = 0;

/** Pane whose main button drags the upper bone towards or away from the lower one; the arrow keys are left to the room. */
export class BonePane extends Pane {
  onPress(event) {
    super.onPress(event);
    this.drag.moving = event.button === MAIN_BUTTON && !this.drag.windowing && !isHeld(" ");
  }

  onDrag(event) {
    if (!this.drag?.moving || !this.geometry) return super.onDrag(event);
    const pixel = this.geometry.spacing_mm / (this.cssScale() * this.scene.zoom);
    const moved = [event.clientX - this.drag.at[0], event.clientY - this.drag.at[1]].map((pixels) => pixels * pixel);
    this.drag.at = [event.clientX, event.clientY];
    const { right, down } = jointAxes(this.geometry.axis_deg);
    const along = (axis) => moved[0] * axis[0] + moved[1] * axis[1];
    const { change_mm: change, sideways_mm: sideways } = this.scene.motion;
    this.scene.change((scene) => {
      scene.motion = {
        ...scene.motion,
        change_mm: rounded(change - along(down)),
        sideways_mm: rounded(sideways + along(right)),
      };
    });
    return undefined;
  }

  onKey() {
    // The room moves the bones with the arrow keys.
  }
}

function rounded(length) {
  return Number(length.toFixed(3));
}
