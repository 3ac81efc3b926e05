// The bar with Remove: which buttons can be used, how far the run has come, and how long it and the queue will take.

import { $, MOD } from "./dom.js";
import { primary } from "./primary.js";
import { proposed } from "./proposal.js";
import * as runs from "./runs.js";
import * as settings from "./settings.js";
import { unsent } from "./series.js";
import { byId, isFill, listen, state, version } from "./state.js";
import { chosenShots, painted } from "./strokes.js";

const TICK = 500; // ms between two looks at the clock while a run is under way
const STAGES = { detail: "Matching the photo's detail", write: "Writing" };
let ticking = 0;

/** Where a run is by now: the server says it at every step, and between two steps time goes on. */
function progressOf(run) {
  const { left, share = 0 } = run;
  if (run.state !== "running" || (left ?? null) === null) return { share: null, left: left ?? null };
  const passed = (performance.now() - run.heard) / 1000;
  return {
    share: share + (1 - share) * Math.min(0.97, passed / Math.max(left, 0.1)),
    left: Math.max(0, left - passed),
  };
}

const inWords = (seconds) =>
  seconds < 90 ? `${Math.max(1, Math.round(seconds))} s` : `${Math.round(seconds / 60)} min`;

function stageOf(run) {
  const photo = byId(run.photo);
  const name = photo && photo !== state.photo ? `${photo.name}: ` : "";
  if (run.state !== "running") return `${name}Waiting${run.before ? `: ${run.before} before you` : ""}`;
  return name + (STAGES[run.stage] ?? (run.total ? `Step ${run.done} of ${run.total}` : "Starting"));
}

/** What is under way: in words, for the title, and the share of the first run that is done. */
function describe([first, ...others]) {
  const { share, left } = progressOf(first);
  const waiting = others.length + unsent();
  const known = left !== null && others.every((run) => (run.left ?? null) !== null);
  const mean = others.length ? others.reduce((sum, run) => sum + run.left, 0) / others.length : left;
  const all = known ? left + waiting * mean : null;
  const parts = [stageOf(first)];
  if (left !== null && first.state === "running") parts.push(`about ${inWords(left)} left`);
  if (waiting) parts.push(`${waiting} more${all === null ? "" : `, about ${inWords(all)} in all`}`);
  const percent = share === null ? "…" : `${Math.round(100 * share)} %`;
  const title = waiting ? `${waiting + 1} left${all === null ? "" : `, ${inWords(all)}`}` : percent;
  return { text: parts.join(" · "), share, title: left !== null && !waiting ? `${title}, ${inWords(left)}` : title };
}

function update() {
  const all = runs.active();
  const [first] = all;
  const { photo } = state;
  const button = $("#run");
  const { label, why } = primary();
  if ($(".label", button).textContent !== label) $(".label", button).textContent = label;
  button.disabled = why !== "";
  button.title = why || `${label} (${MOD} Enter)`;
  $("#cancel").disabled = all.length === 0;
  $("#another").disabled = $("#four").disabled = !photo || !(painted() || isFill(version()));
  $("#another").disabled ||= painted();

  const idle = photo?.outcome ? [photo.outcome.text, ...photo.outcome.warnings].join(". ") : hint(photo);
  const now = first ? describe(all) : { text: idle, share: null, title: "" };
  if ($("#status").textContent !== now.text) $("#status").textContent = $("#status").title = now.text;
  document.title = [now.title, photo?.name, "Moebius"].filter(Boolean).join(" – ");
  const bar = $("#progress");
  bar.classList.toggle("running", Boolean(first));
  bar.setAttribute("aria-valuetext", first ? now.text : "Nothing runs");
  if (first && now.share === null) bar.removeAttribute("value");
  else Object.assign(bar, { max: 1, value: now.share ?? 0 });
  clearTimeout(ticking);
  if (first) ticking = setTimeout(update, TICK);
}

function hint(photo) {
  if (!photo) return "";
  if (photo.landing) return "Done";
  if (photo.notes?.length) return photo.notes.join(" ");
  const shots = chosenShots(photo).map(({ file }) => file);
  if (shots.length) return `From ${shots.length > 2 ? `${shots.length} other shots` : shots.join(" and ")}`;
  return painted() || proposed() || settings.extension() ? "" : "Paint over what should go, or select it";
}

/** Keep the bar up to date with events. */
export function prepare() {
  for (const name of ["run", "photo", "strokes", "settings", "photos", "proposal"]) listen(name, update);
  listen("strokes", (photo) => {
    if (photo?.strokes?.done.length) photo.outcome = null;
  });
  update();
}
