// Brush, eraser, straight lines, rectangles, and pointing: turns positions in the photo into strokes. Knows nothing of pointers.

import { emit, state, version } from "./state.js";
import { commit } from "./strokes.js";

export const tools = {
  name: "brush", // or "eraser", "line", "lasso", "rect", "select"
  size: 40, // of brush and eraser, in photo pixels
  place: null, // position of the brush in the photo; null when the pointer is elsewhere
  last: null, // where the last stroke ended: lines start there
  live: null, // the stroke that is being painted
  boxes: true, // of "select": a diagonal means a box
  line: false, // Shift is down: a line is previewed from `last`
};

export const SIZES = { least: 1, most: 2000 };

export function choose(name) {
  tools.name = name;
  emit("tools");
}

export function resize(size) {
  tools.size = Math.round(Math.min(SIZES.most, Math.max(SIZES.least, size)));
  emit("tools");
}

/** Change the size by a step up (1) or down (-1): a fifth, but at least a pixel. */
export const step = (sign) => resize(tools.size + sign * Math.max(1, Math.round(tools.size / 5)));

/** Choose a size for a photo that was just opened. */
export function suggestSize({ width, height }) {
  resize(Math.max(width, height) / 30);
}

const kind = (erase) => {
  const erases = erase || tools.name === "eraser";
  if (tools.name === "select") return "select";
  if (tools.name === "rect") return erases ? "erase_rect" : "rect";
  if (tools.name === "lasso") return erases ? "erase_lasso" : "lasso";
  return erases ? "erase" : "brush";
};

/** Start a stroke at a position: what the tool makes, or with `line` a straight line from the last point. `corners`: two
 * points make it, which keys move. */
export function start(place, { erase = false, line = false, corners = false } = {}) {
  const tool = kind(erase);
  const goesOn = line && tools.last && swept(tool);
  const straight = goesOn || corners || tools.name === "line";
  const points = goesOn ? [tools.last, place] : straight || tool.endsWith("rect") ? [place, place] : [place];
  tools.live = { tool, size: swept(tool) ? tools.size : 1, points, ...(tool === "select" ? { erase } : {}) };
  tools.straight = straight;
  emit("live");
}

/** Go on to these positions. Points of a curve lie at least `apart` photo pixels from each other. */
export function move(places, apart = 0) {
  const { live } = tools;
  if (!live) return;
  if (tools.straight || live.tool.endsWith("rect")) live.points[1] = places.at(-1);
  else {
    for (const place of places) {
      const [x, y] = live.points.at(-1);
      if (Math.hypot(place[0] - x, place[1] - y) >= apart) live.points.push(place);
    }
  }
  emit("live");
}

/** Whether a tool sweeps a disc along its line; others fill an area. */
export const swept = (tool) => tool === "brush" || tool === "erase";

/** Lines and areas change as a whole until they are finished; curves only grow. */
export const shaped = (stroke) => stroke === tools.live && (tools.straight || !swept(stroke.tool));

export function finish() {
  const { live } = tools;
  if (!live) return;
  tools.live = null;
  if (live.tool === "select") {
    emit("live");
    return void emit("pointed", live);
  }
  if (live.tool.endsWith("rect") && live.points[0] === live.points[1]) return void emit("live"); // a click is no rectangle
  if (live.tool.endsWith("lasso") && live.points.length < 3) return void emit("live"); // it goes round nothing
  if (swept(live.tool)) tools.last = live.points.at(-1);
  if (touches(live, version())) commit(live);
  else redrawn();
}

/** Whether a stroke reaches the photo; strokes beside it do not count. */
function touches({ points, size }, { width, height }) {
  const reaches = (i, end) =>
    Math.min(...points.map((at) => at[i])) < end + size / 2 && Math.max(...points.map((at) => at[i])) > -size / 2;
  return reaches(0, width) && reaches(1, height);
}

/** Remove what was drawn of a stroke. */
function redrawn() {
  state.photo.revision = (state.photo.revision ?? 0) + 1;
  emit("strokes", state.photo);
}

/** Cancel the stroke that is being painted, because of a second finger or Escape. Returns whether there was one. */
export function abandon() {
  if (!tools.live) return false;
  tools.live = null;
  redrawn();
  return true;
}

/** With the keyboard: move the brush by [x, y] thirds of its size, painting a line with `paint`, or going on with what was
 * begun. */
export function walk([x, y], paint) {
  const picture = version();
  const from = tools.place ?? [picture.width / 2, picture.height / 2];
  const far = Math.max(1, tools.size / 3);
  const within = (value, most) => Math.min(most - 0.5, Math.max(0.5, value));
  tools.place = [within(from[0] + x * far, picture.width), within(from[1] + y * far, picture.height)];
  if (tools.live) move([tools.place]);
  else if (paint && tools.name === "select") emit("pointed", { points: [from, tools.place], erase: false });
  else if (paint) {
    commit({ tool: tools.name === "eraser" ? "erase" : "brush", size: tools.size, points: [from, tools.place] });
    tools.last = tools.place;
  }
  emit("tools");
}

/** With the keyboard: paint where the brush is. */
export function dab() {
  if (!tools.place) walk([0, 0], false);
  commit({ tool: tools.name === "eraser" ? "erase" : "brush", size: tools.size, points: [tools.place] });
  tools.last = tools.place;
}
