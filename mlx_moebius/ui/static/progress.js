// The bar with Run: which buttons can be used, the progress of a run, and the runs that wait.

import { $, MOD } from "./dom.js";
import { primary } from "./primary.js";
import * as runs from "./runs.js";
import { byId, isFill, listen, state, version } from "./state.js";
import { painted } from "./strokes.js";

function textOf(run) {
  const photo = byId(run.photo);
  const name = photo && photo !== state.photo ? `${photo.name}: ` : "";
  if (run.state !== "running") return `${name}Waiting${run.before ? `: ${run.before} before you` : ""}`;
  return run.total ? `${name}Step ${run.done} of ${run.total}` : `${name}Starting`;
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

  const status = $("#status");
  const idle = photo?.outcome ? [photo.outcome.text, ...photo.outcome.warnings].join(". ") : hint(photo);
  const text = first ? textOf(first) : idle;
  if (status.textContent !== text) status.textContent = text;
  const bar = $("#progress");
  bar.classList.toggle("running", Boolean(first));
  bar.setAttribute("aria-valuetext", first ? text : "Nothing runs");
  if (first?.total) Object.assign(bar, { max: first.total, value: first.done });
  else if (first) bar.removeAttribute("value");
  else Object.assign(bar, { max: 1, value: 0 });
}

function hint(photo) {
  if (!photo) return "";
  if (photo.notes?.length) return photo.notes.join(" ");
  return painted() ? "" : "Paint over what should go";
}

/** Keep the bar up to date with events. */
export function prepare() {
  for (const name of ["run", "photo", "strokes", "settings", "photos"]) listen(name, update);
  listen("strokes", (photo) => {
    if (photo?.strokes?.done.length) photo.outcome = null;
  });
  update();
}
