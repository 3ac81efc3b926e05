// The open photos: updated from the server's answers, shown, closed.

import { get, photoUrl, post } from "./api.js";
import { complain } from "./dom.js";
import { byId, emit, isFill, state, version } from "./state.js";
import { flush } from "./strokes.js";

const UNREADABLE = 400; // the server's answer to a file that is no photo, or damaged

/** Take over what the server says of a photo. Strokes only if the photo is new here: the page has the latest ones. */
export function adopt(data) {
  const known = byId(data.id);
  const photo = known ?? {
    id: data.id,
    redo: [],
    runs: new Map(),
    requests: {},
    revision: 0,
    versions: [],
    strokes: null,
  };
  const { strokes, runs, ...rest } = data;
  Object.assign(photo, rest);
  if (photo.restored) photo.versions = photo.versions.map((version) => ({ ...version, ...photo.restored[version.id] }));
  photo.strokes ??= strokes ? { done: strokes.done ?? [], undone: strokes.undone ?? [] } : null;
  if (!known) state.photos.push(photo);
  for (const run of runs ?? []) emit("run-data", run);
  return photo;
}

/** Whether a photo's versions are known. Photos of a series are asked about only when they are needed. */
export const loaded = (photo) => photo.versions.length > 0;

/** Ask the server for a photo's state. If its file cannot be read, remember why. */
export async function refresh(photo) {
  try {
    adopt(await get(photoUrl(photo)));
  } catch (error) {
    if (error.status === UNREADABLE && !loaded(photo)) {
      Object.assign(photo, { state: "failed", error: error.message });
      emit("photos");
    }
    throw error;
  }
  if (photo === state.photo) emit("photo", photo);
  emit("photos");
  return photo;
}

/** Put a photo on the stage. If its file cannot be read, say so and return false. */
export async function show(photo) {
  state.wanted = photo;
  try {
    if (!loaded(photo)) await refresh(photo);
  } catch (error) {
    if (photo.state !== "failed") throw error;
    complain(error.message);
    return false;
  }
  if (state.wanted !== photo) return true; // another photo was asked for meanwhile
  if (state.photo && state.photo !== photo) flush(state.photo).catch(() => {});
  state.photo = photo;
  photo.seen = Date.now();
  emit("photo", photo);
  emit("strokes", photo);
  emit("photos");
  return true;
}

/** Put the first of these photos on the stage that can be read. */
export async function showFirst(photos) {
  for (const photo of photos) if (await show(photo)) return;
}

/** Make a version current: it is shown, and filled next. */
export async function setCurrent(photo, version) {
  adopt(await post(`${photoUrl(photo)}/current`, { version }));
  if (photo === state.photo) emit("photo", photo);
}

/** Forget a photo that the server does not have any more. */
export function forget(photo) {
  state.photos.splice(state.photos.indexOf(photo), 1);
  if (state.photo === photo) state.photo = state.wanted = null;
  emit("closed", photo);
  emit("forgotten", photo);
}

/** Take a photo off the page, and show its neighbour. Returns its place. */
export async function takeAway(photo) {
  const at = state.photos.indexOf(photo);
  state.photos.splice(at, 1);
  emit("closed", photo);
  if (state.photos.length === 0) state.series = null;
  const neighbour = state.photos[at] ?? state.photos[at - 1] ?? null;
  if (neighbour) await show(neighbour);
  else {
    state.photo = state.wanted = null;
    emit("photo", null);
    emit("photos");
  }
  return at;
}

/** Whether a photo has strokes or fills that nobody has: of fills, the one shown counts, or if none is shown, any. */
function isUnsaved(photo) {
  const fills = photo.versions.filter(isFill);
  const shown = version(photo);
  if (photo.strokes?.done.length) return true;
  return isFill(shown) ? !shown.saved : fills.length > 0 && !fills.some((made) => made.saved);
}

/** Whether closing the page would lose something that has not been downloaded, or taken. */
export const unsaved = () => state.photos.some((photo) => photo.proposal || (!photo.inFolder && isUnsaved(photo)));
