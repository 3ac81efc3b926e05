// Mouse, pen and fingers on the stage: one paints, two (or Space, or the middle button) move the photo, the wheel zooms.

import { state } from "./state.js";
import * as tool from "./tools.js";

const { tools } = tool;

/** Listen on `stage`. Moves `view`, and redraws `all`, or if only the pointer has moved, the `marks`. */
export function listenOnStage(stage, view, { all, marks }) {
  const down = new Map(); // pointers that are down, by id: [x, y] on the stage
  let drag = null; // while the photo is moved: the last [x, y, distance of two fingers]
  let sizing = null; // during Alt-drag: where it started, and with which brush size
  let space = false;

  const place = (event) => {
    const box = stage.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  const middle = () => {
    const all = [...down.values()];
    const [[x, y], [x2, y2]] = [all[0], all.at(-1)];
    return [(x + x2) / 2, (y + y2) / 2, Math.hypot(x - x2, y - y2)];
  };

  stage.addEventListener("pointerdown", (event) => {
    if (!state.photo || event.target.closest("button, [role=slider]")) return;
    stage.focus({ preventScroll: true });
    stage.setPointerCapture(event.pointerId);
    down.set(event.pointerId, place(event));
    tools.place = view.toPhoto(place(event));
    if (down.size > 1 || space || event.button === 1) {
      tool.abandon();
      drag = middle();
    } else if (event.altKey && event.button === 0 && tools.name !== "select") {
      sizing = { from: place(event), size: tools.size };
    } else if (event.button === 0 || event.button === 2) {
      tool.start(tools.place, { erase: event.button === 2 || event.altKey, line: event.shiftKey });
    }
    event.preventDefault();
    marks();
  });

  stage.addEventListener("pointermove", (event) => {
    if (!state.photo) return;
    if (down.has(event.pointerId)) down.set(event.pointerId, place(event));
    tools.line = event.shiftKey && !tools.live;
    if (drag && down.size) {
      const [x, y, distance] = middle();
      if (distance && drag[2]) view.zoomTo((view.zoom * distance) / drag[2], [x, y]);
      view.pan(x - drag[0], y - drag[1]);
      drag = [x, y, distance];
    } else if (sizing) {
      tool.resize(sizing.size + (place(event)[0] - sizing.from[0]) / view.scale);
    } else if (tools.live && down.has(event.pointerId)) {
      const events = event.getCoalescedEvents?.() ?? [];
      const places = (events.length ? events : [event]).map((moved) => view.toPhoto(place(moved)));
      tool.move(places, 0.6 / view.zoom);
    }
    if (!sizing) tools.place = view.toPhoto(place(event));
    (drag ? all : marks)();
  });

  const up = (event) => {
    if (!down.delete(event.pointerId)) return;
    if (event.type === "pointercancel") tool.abandon();
    else if (!drag && !sizing) tool.finish();
    sizing = null;
    drag = drag && down.size ? middle() : null;
    if (event.pointerType === "touch") tools.place = null; // no ring where no finger is
    marks();
  };
  stage.addEventListener("pointerup", up);
  stage.addEventListener("pointercancel", up);
  stage.addEventListener("pointerleave", () => {
    if (!down.size) tools.place = null;
    marks();
  });
  stage.addEventListener("contextmenu", (event) => event.preventDefault());

  stage.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      if (!state.photo) return;
      const far = (event.deltaMode ? 30 : 1) * (event.deltaY || event.deltaX);
      if (event.altKey) tool.resize(tools.size * Math.exp(-far / 600) - Math.sign(far) * 0.5);
      else if (event.shiftKey) view.pan(-far, 0);
      else view.zoomTo(view.zoom * Math.exp(-far / (event.ctrlKey ? 100 : 400)), place(event));
      if (!event.altKey) tools.place = view.toPhoto(place(event));
      all();
    },
    { passive: false },
  );

  return {
    /** Space is down or up: the pointer moves the photo. */
    pan(on) {
      space = on;
      stage.classList.toggle("panning", on);
      marks();
    },
    get busy() {
      return down.size > 0;
    },
  };
}
