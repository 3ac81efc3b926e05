// Looking at the fills: each at its own pixels, one after the other, to be accepted or tried again.

import { post } from "./api.js";
import { $, attempt, endNotice, offer, say } from "./dom.js";
import { show } from "./photos.js";
import * as runs from "./runs.js";
import * as series from "./series.js";
import { flash, lookAt } from "./stage.js";
import { emit, isFill, listen, state, version } from "./state.js";

let open = false;

export const reviewing = () => open;

/** Photos whose fill nobody has accepted, from the one after the photo shown on. */
function waiting() {
  const at = state.photos.indexOf(state.photo) + 1;
  const all = [...state.photos.slice(at), ...state.photos.slice(0, at)];
  return all.filter((photo) => (photo.inSeries ? photo.state === "done" : isFill(version(photo)) && !accepted(photo)));
}

const accepted = (photo) => photo.accepted === photo.current;

/** Begin with the photo shown, if it has a fill, or else with the next one that has. */
export async function start() {
  endNotice();
  const [first] = isFill(version()) ? [state.photo] : waiting();
  if (!first) return say("There is no fill to look at.");
  open = true;
  return look(first);
}

async function look(photo) {
  if (photo !== state.photo && !(await show(photo))) return;
  lookAt(version());
  update();
}

/** Go to another fill: the next one that is not accepted (1), or the one before (-1). */
export async function go(far) {
  const all = waiting().filter((photo) => photo !== state.photo);
  const next = far > 0 ? all[0] : all.at(-1);
  if (next) await look(next);
  else leave();
}

export async function accept() {
  const { photo } = state;
  if (isFill(version(photo))) {
    photo.accepted = photo.current;
    if (photo.inFolder) await post(`/api/series/${photo.id}/accept`, { version: photo.current });
  }
  emit("keep", photo);
  emit("photos");
  say(`${photo.name} is accepted.`);
  await go(1);
}

/** Try again, and look at the next one meanwhile. */
export async function redo() {
  const again = runs.again(1);
  await go(1);
  await again;
}

/** End the review. Returns whether there was one. */
export function leave() {
  if (!open) return false;
  open = false;
  update();
  $("#stage").focus({ preventScroll: true });
  return true;
}

function update() {
  $("#review").hidden = !open || !state.photo;
  $("#action").hidden = !$("#review").hidden;
  $("#review-start").disabled = waiting().length === 0;
  if (!open) return;
  const left = waiting().length;
  const text = isFill(version()) ? "" : "Its fill is not there yet. ";
  $("#review-text").textContent = `${text}${left ? `${left} to accept` : "All are accepted"}`;
  $("#review-accept").disabled = $("#review-redo").disabled = !isFill(version());
}

export function prepare() {
  const on = (selector, act) => ($(selector).onclick = () => attempt(act));
  on("#review-start", start);
  on("#review-accept", accept);
  on("#review-redo", redo);
  on("#review-before", () => go(-1));
  on("#review-next", () => go(1));
  on("#review-close", leave);
  listen("photo", (photo) => (photo ? update() : leave()));
  for (const name of ["photos", "run"]) listen(name, update);
  listen("filled", ({ photo }) => {
    if (photo === state.photo) flash();
    const several = series.inSeries().length > 1;
    if (several && !open && !runs.active().length && !series.unsent() && waiting().length > 1)
      offer(`${waiting().length} fills are there.`, [["Review them", start]]);
  });
}
