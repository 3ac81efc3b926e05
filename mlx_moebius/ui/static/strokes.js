// The strokes of a photo: vectors in photo pixels, in a list of what was done and a list of what was undone.

import { photoUrl, put } from "./api.js";
import { recall, remember } from "./remember.js";
import { emit, state } from "./state.js";

const DELAY = 250; // ms from the last change until the server is told
const timers = new Map(); // photo -> timer

/** Painted now, without what a run has taken. */
export const painted = (photo = state.photo) => Boolean(photo) && leavesSomething(photo.strokes.done);

/** Whether strokes leave something: whether anything was painted after the mask was last cleared. */
export function leavesSomething(strokes) {
  const sinceClear = strokes.slice(strokes.findLastIndex((stroke) => stroke.tool === "clear") + 1);
  return sinceClear.some((stroke) => !stroke.tool.startsWith("erase") && stroke.tool !== "from");
}

/** The other shots that the next run takes from: those that were chosen last, since the mask was last cleared. */
export function chosenShots(photo = state.photo) {
  const last = photo?.strokes?.done.findLast(({ tool }) => tool === "from" || tool === "clear");
  return last?.shots ?? [];
}

/** Add a stroke. What was undone before can no longer be redone. */
export function commit(stroke, photo = state.photo) {
  photo.strokes.done.push(stroke);
  photo.strokes.undone = [];
  photo.redo = [];
  strokesChanged(photo);
}

/** Replace the lists. */
export function replace(photo, done, undone = []) {
  photo.strokes = { done: [...done], undone: [...undone] };
  strokesChanged(photo);
}

/** Move all that is painted by [x, y] photo pixels; loaded masks stay where they are. */
export function nudge(x, y, photo = state.photo) {
  if (!painted(photo)) return;
  const moved = photo.strokes.done.map((stroke) => ({
    ...stroke,
    points: stroke.points.map(([px, py]) => [px + x, py + y]),
  }));
  replace(photo, moved);
}

export function strokesChanged(photo) {
  photo.revision = (photo.revision ?? 0) + 1;
  if (document.body.classList.contains("server-gone")) keepUnsent(photo, photo.strokes); // the tab may be closed now
  clearTimeout(timers.get(photo));
  timers.set(
    photo,
    setTimeout(() => flush(photo).catch(() => {}), DELAY),
  ); // kept in the browser when this fails
  emit("strokes", photo);
}

/** Tell the server at once, if there is something to tell. */
export async function flush(photo, options = {}) {
  if (!timers.has(photo)) return;
  clearTimeout(timers.get(photo));
  timers.delete(photo);
  const { done, undone } = photo.strokes;
  keepUnsent(photo, { done, undone });
  await put(`${photoUrl(photo)}/strokes`, { done, undone }, options);
  keepUnsent(photo);
}

export const flushAll = () => Promise.all([...timers.keys()].map((photo) => flush(photo, { keepalive: true })));

// Strokes on a folder's photos are kept by the server, in the folder of results. Until it has them, the browser does.

const unsentKey = (photo) => `moebius.unsent ${state.series?.out} ${photo.name}`;
const keepUnsent = (photo, strokes) => photo.inFolder && remember("localStorage", unsentKey(photo), strokes);

/** Take over strokes that the server did not get before the page was left. */
export function recallUnsent(photo) {
  const strokes = recall("localStorage", unsentKey(photo));
  if (strokes) replace(photo, strokes.done, strokes.undone);
}
