// Runs. A run takes the strokes with it, so that painting can go on. A run without a result gives them back.

import { ApiError, photoUrl, post, remove, versionUrl } from "./api.js";
import { attempt, complain, say } from "./dom.js";
import { refresh } from "./photos.js";
import * as settings from "./settings.js";
import { preview } from "./stage.js";
import { byId, emit, isFill, listen, state, version } from "./state.js";
import { painted, replace } from "./strokes.js";
import { takenText } from "./taken.js";

const STARTING = "starting"; // stands for a run until the server has named it

/** All runs that wait or are under way, the latter first. */
export const active = () =>
  state.photos
    .flatMap((photo) => [...photo.runs.values()].filter((run) => run.active))
    .sort((a, b) => (b.state === "running") - (a.state === "running") || a.before - b.before);

/** Runs of a photo that wait for others. */
export const waitingOf = (photo) =>
  [...photo.runs.values()].filter((run) => run.state === "waiting" && run.before > 0 && run.active);

/** Why no run can start now, in one sentence; empty if one can. */
export function obstacle() {
  if (!state.photo) return "Open a photo first.";
  if (!painted() && !settings.extension()) return "Paint over what should go first.";
  return "";
}

/** Fill what is painted. */
export async function start(extra = {}) {
  const { photo } = state;
  const why = obstacle();
  if (why) return complain(why);
  const strokes = [...photo.strokes.done];
  const body = { ...settings.values(), count: 1, ...extra };
  return send(photo, body, strokes, true, () => start({ ...extra, yes: true }));
}

/** Repeat the fill that is shown, once or four times, with the next seeds. */
export async function again(count) {
  const { photo } = state;
  if (painted()) return start({ count });
  const shown = version();
  if (!isFill(shown)) return complain(obstacle());
  const siblings = photo.versions.filter((made) => made.made_from === shown.made_from);
  const seed = Math.max(...siblings.map((made) => made.seed ?? 0)) + 1;
  const body = {
    ...settings.values(),
    ...(photo.requests[shown.id] ?? {}),
    seed,
    count,
    on: shown.made_from,
    yes: true,
  };
  return send(photo, body, shown.strokes ?? [], false);
}

/** Send a run. If the strokes are `taken` and it has no result, they are given back. */
export async function send(photo, body, strokes, taken, anyway) {
  complain();
  photo.runs.set(STARTING, {
    id: STARTING,
    active: true,
    state: "waiting",
    before: 0,
    done: 0,
    total: 0,
    strokes,
    taken,
    body,
    photo: photo.id,
  });
  if (taken) replace(photo, photo.strokes.done.slice(strokes.length));
  emit("run");
  try {
    const where = photo.inFolder ? `/api/series/${photo.id}/queue` : `${photoUrl(photo)}/runs`;
    const data = await post(where, { ...body, strokes });
    note(data);
    if (body.extend && taken) settings.set("extend", "");
  } catch (error) {
    if (taken) giveBack(photo, strokes);
    if (!(error instanceof ApiError)) throw error;
    complain(
      photo === state.photo ? error.message : `${photo.name}: ${error.message}`,
      error.ask && anyway ? { label: "Fill it anyway", act: anyway } : null,
    );
  } finally {
    photo.runs.delete(STARTING);
    emit("run");
  }
}

/** Paint again what a run has taken, under what was painted since. */
export const giveBack = (photo, strokes) => replace(photo, [...strokes, ...photo.strokes.done], []);

/** Take over what the server says of a run, in an answer or an event. */
export function note(data) {
  const photo = byId(data.photo);
  if (!photo) return;
  const known = photo.runs.get(data.id);
  if (known && !known.active) return;
  const starting = known ? null : photo.runs.get(STARTING);
  const run = Object.assign(known ?? { taken: starting?.taken ?? !data.on, body: starting?.body ?? {} }, data);
  run.heard = performance.now();
  run.strokes = data.strokes ?? known?.strokes ?? starting?.strokes ?? [];
  if (starting) photo.runs.delete(STARTING);
  run.active = data.state === "waiting" || data.state === "running";
  photo.runs.set(run.id, run);
  photo.landing = run.state === "done" ? run.versions.length : 0; // its fills are there, but not known here yet
  if (!run.active) attempt(() => end(photo, run)).finally(() => (photo.landing = 0));
  else if (run.state === "running" && run.done === 0) say("Filling.");
  emit("run", run);
}

async function end(photo, run) {
  if (run.state === "done") {
    for (const id of run.versions) photo.requests[id] = run.body;
    if (photo.strokes) await refresh(photo);
    preview(run.id);
    photo.redo = [];
    const seconds = run.seconds ? ` in ${run.seconds.toFixed(1)} s` : "";
    const text = [`Done${seconds}`, takenText(version(photo, run.versions[0]))].filter(Boolean).join(". ");
    say(`${[text, ...(run.warnings ?? [])].join(". ")}.`);
    photo.outcome = { text, warnings: run.warnings ?? [] };
    emit("filled", { photo, run });
  } else {
    preview(run.id);
    if (run.taken && photo.strokes) giveBack(photo, run.strokes);
    const where = photo === state.photo ? "" : `${photo.name}: `;
    if (run.state === "failed") complain(where + (run.error ?? "This did not work."));
    else say("Cancelled.");
    photo.outcome = run.state === "failed" ? null : { text: "Cancelled", warnings: [] };
  }
  emit("run", run);
}

/** Cancel a run; it ends at once. */
export async function cancel(run) {
  if (!run || run.id === STARTING) return;
  await attempt(async () => note(await remove(`/api/runs/${run.id}`)));
}

/** The run of the photo shown, which Escape ends. */
export const ofShown = () => active().find((run) => run.photo === state.photo?.id);

/** Make one of several fills the current one. */
export async function choose(photo, run, id) {
  await post(`/api/runs/${run.id}/choose`, { version: id });
  await refresh(photo);
}

export const candidateUrl = (photo, id) => `${versionUrl(photo, id)}/tiles`;

listen("run-data", note);
