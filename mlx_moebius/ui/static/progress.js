// The bar with Run: which buttons can be used, the progress of a run, and the runs that wait.

import { $, make } from "./dom.js";
import * as runs from "./runs.js";
import { byId, isFill, listen, state, version } from "./state.js";
import { painted } from "./strokes.js";

const ROWS = 3; // waiting runs shown one by one

function textOf(run) {
  const photo = byId(run.photo);
  const name = photo && photo !== state.photo ? `${photo.name}: ` : "";
  if (run.state !== "running") return `${name}Waiting${run.before ? `: ${run.before} before you` : ""}`;
  return run.total ? `${name}Step ${run.done} of ${run.total}` : `${name}Starting`;
}

function update() {
  const all = runs.active();
  const [first, ...others] = all;
  const { photo } = state;
  const button = $("#run");
  $(".label", button).textContent = photo?.inSeries ? "Queue and next" : "Run";
  button.disabled = runs.obstacle() !== "";
  button.title = runs.obstacle();
  $("#cancel").disabled = all.length === 0;
  $("#another").disabled = $("#four").disabled = !photo || !(painted() || isFill(version()));
  $("#another").disabled ||= painted();
  $("#four").disabled ||= Boolean(photo?.inFolder); // its result is one file

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

  const rows = others.slice(0, ROWS).map((run) => {
    const stop = make("button", { type: "button", class: "small", onclick: () => runs.cancel(run) }, "Cancel");
    return make("li", {}, make("span", {}, textOf(run)), stop);
  });
  if (others.length > ROWS) rows.push(make("li", {}, `${others.length - ROWS} more waiting`));
  $("#waiting").replaceChildren(...rows);
  $("#waiting").hidden = rows.length === 0;
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
