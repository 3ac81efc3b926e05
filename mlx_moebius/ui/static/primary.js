// The one thing to do next: remove what is painted, in a series queue it and go on; after that, download or go on.

import { $ } from "./dom.js";
import { proposed, take } from "./proposal.js";
import * as runs from "./runs.js";
import * as series from "./series.js";
import * as settings from "./settings.js";
import { isFill, state, version } from "./state.js";
import { painted } from "./strokes.js";
import { saveFile } from "./versions.js";

/** What the large button and Ctrl Enter do now: its label, the act, and why it cannot be done (empty if it can). */
export function primary() {
  const { photo } = state;
  if (proposed()) return { label: photo.inSeries ? "Queue and next" : "Remove", act: takeFirst, why: "" };
  const wanted = painted() || settings.extension() !== "";
  const label = painted() || !wanted ? "Remove" : "Extend";
  if (photo?.inSeries) {
    if (wanted) return { label: "Queue and next", act: series.queueAndNext, why: "" };
    const settled = isFill(version()) || runs.ofShown();
    if (settled && state.photos.length > 1) return { label: "Next photo", act: series.goOn, why: "" };
    return { label: "Queue and next", act: series.queueAndNext, why: runs.obstacle() };
  }
  if (!wanted && isFill(version()) && !$("#finish").hidden)
    return { label: $("#finish").textContent, act: () => $("#finish").click(), why: "" };
  if (!wanted && isFill(version()) && !runs.ofShown()) return { label: "Download", act: saveFile, why: "" };
  return { label, act: () => runs.start(), why: runs.obstacle() };
}

/** What is proposed is what one wants removed. */
async function takeFirst() {
  if (await take()) await primary().act();
}
