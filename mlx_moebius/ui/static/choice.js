// A choice among several fills, shown as crops round the mask at 1:1. Number keys choose.

import { $, attempt, icon, make } from "./dom.js";
import { candidateUrl, choose, giveBack } from "./runs.js";
import { listen, state, version } from "./state.js";
import * as tiles from "./tiles.js";

const SIDE = 512;
let open = null; // { photo, run } of the open choice

/** The middle of everything that was filled, for the crop. */
function middle(boxes) {
  const low = [0, 1].map((i) => Math.min(...boxes.map((box) => box[i])));
  const high = [2, 3].map((i) => Math.max(...boxes.map((box) => box[i])));
  return low.map((value, i) => (value + high[i]) / 2);
}

/** Draw the fill and what is round it, with a line round what was filled. */
async function drawCrop(canvas, root, size, boxes) {
  const centre = middle(boxes);
  const context = canvas.getContext("2d");
  const corner = ["width", "height"].map((side, i) =>
    Math.round(Math.min(Math.max(0, size[side] - canvas[side]), Math.max(0, centre[i] - canvas[side] / 2))),
  );
  const last = ["width", "height"].map((side, i) => Math.min(size[side], corner[i] + canvas[side]) - 1);
  const jobs = [];
  for (let row = Math.floor(corner[1] / SIDE); row <= Math.floor(last[1] / SIDE); row++) {
    for (let column = Math.floor(corner[0] / SIDE); column <= Math.floor(last[0] / SIDE); column++) {
      jobs.push(
        tiles.one(`${root}/0/${column}/${row}`).then((bitmap) => {
          context.drawImage(bitmap, column * SIDE - corner[0], row * SIDE - corner[1]);
        }),
      );
    }
  }
  await Promise.all(jobs);
  context.lineWidth = devicePixelRatio;
  for (const [colour, dash] of [
    ["rgb(0 0 0 / 70%)", []],
    ["white", [4 * devicePixelRatio]],
  ]) {
    context.strokeStyle = colour;
    context.setLineDash(dash);
    for (const [left, top, right, bottom] of boxes)
      context.strokeRect(left - corner[0] - 2.5, top - corner[1] - 2.5, right - left + 5, bottom - top + 5);
  }
}

/** Offer the fills of a run. */
async function offer(photo, run) {
  open = { photo, run };
  const panel = $("#choice");
  const ratio = devicePixelRatio;
  const narrow = innerWidth < 700;
  const space = $("#dock").clientWidth;
  const columns = narrow ? 2 : Math.min(4, run.versions.length);
  const width = Math.floor(Math.min(288, (space - 64) / columns - 24));
  const height = Math.floor(Math.min(width * 0.75, innerHeight / (narrow ? 5 : 3)));
  const found = run.versions.map((id) => version(photo, id)).filter(Boolean);
  const buttons = found.map((candidate, index) => {
    const canvas = make("canvas", {
      width: Math.round(width * ratio),
      height: Math.round(height * ratio),
      "aria-hidden": "true",
    });
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
    attempt(() => drawCrop(canvas, candidateUrl(photo, candidate.id), candidate, run.boxes));
    const text = make("span", {}, make("kbd", {}, String(index + 1)));
    const button = make("button", { type: "button", title: `Seed ${candidate.seed}` }, canvas, text);
    button.setAttribute("aria-label", `Removal ${index + 1}`);
    button.onclick = () => pick(index + 1);
    return make("li", {}, button);
  });
  $("#crops").replaceChildren(...buttons);
  panel.hidden = false;
  $("button", panel.querySelector("#crops"))?.focus();
}

/** Choose by number, from 1, and close the panel; false when there is nothing to choose from. */
export function pick(number) {
  const id = open?.run.versions[number - 1];
  if (!id) return false;
  const { photo, run } = open;
  attempt(async () => {
    await choose(photo, run, id);
    dismiss();
  });
  return true;
}

/** Close the panel. A chosen fill stays; without a choice the mask comes back. Returns whether the panel was open. */
export function dismiss() {
  if (!open) return false;
  const { photo, run } = open;
  if (run.taken && !run.versions.includes(photo.current)) giveBack(photo, run.strokes);
  open = null;
  $("#choice").hidden = true;
  $("#stage").focus({ preventScroll: true });
  return true;
}

export const choosing = () => open !== null;

export function prepare() {
  $("#choice-close").append(icon("close"));
  $("#choice-close").onclick = dismiss;
  listen("filled", ({ photo, run }) => {
    if (photo === state.photo && run.versions.length > 1) attempt(() => offer(photo, run));
  });
  listen("photo", (photo) => {
    if (open && photo !== open.photo) dismiss();
  });
}
