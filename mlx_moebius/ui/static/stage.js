// The stage: the version that is shown, previews of fills, paint, and marks such as the brush's ring.

import { versionUrl } from "./api.js";
import { drawProposal } from "./dashed.js";
import { $ } from "./dom.js";
import { shownOf } from "./gesture.js";
import { drawPaint, paintColour, repaint } from "./paint.js";
import { listenOnStage } from "./pointers.js";
import * as settings from "./settings.js";
import { isFill, listen, originalOf, state, version } from "./state.js";
import * as tiles from "./tiles.js";
import { shaped, suggestSize, swept, tools } from "./tools.js";
import { NONE, View } from "./view.js";

const stage = $("#stage");
const [picture, paint, marks] = ["#picture", "#paint", "#marks"].map((name) => $(name).getContext("2d"));

export const view = new View();

/** What is compared: the photo before instead of the fill (`hold`), or left of the divider (`share` of the photo's width). */
export const compare = { hold: false, divider: false, share: 0, outline: false, grown: null };

const previews = new Map(); // run -> { photo, bitmap, box }
let shown = null; // { photo, picture } on the stage
let before = null; // the source that was drawn before
let frame = 0;
let due = 0; // what the next frame draws

/** What is drawn again: the marks alone (they follow the pointer), with paint, or with the photo too. */
export const MARKS = 1;
export const PAINT = 2;
const ALL = 3;

const sourceOf = (photo, { id, width, height }) => tiles.source(`${versionUrl(photo, id)}/tiles`, width, height);

/** Draw at the next frame, at most once a frame. */
export function redraw(what = ALL) {
  due = Math.max(due, what);
  if (frame) return;
  frame = requestAnimationFrame(() => {
    const now = due;
    frame = due = 0;
    draw(now);
  });
}

/** Show the current version. The view stays for the same photo; another photo gets the view it had. */
function update() {
  const { photo } = state;
  const current = version();
  stage.classList.toggle("empty", !current);
  if (!current) shown = null;
  else if (shown?.photo !== photo || shown.picture.id !== current.id) {
    const another = shown?.photo !== photo;
    if (another && shown) shown.photo.view = view.state;
    before = another ? null : sourceOf(photo, shown.picture);
    const resized = another || shown.picture.width !== current.width || shown.picture.height !== current.height;
    shown = { photo, picture: current };
    view.photo = { width: current.width, height: current.height };
    view.frame = settings.frame(current) ?? NONE;
    if (another) {
      view.restore(photo.view);
      tools.last = tools.place = null;
      if (!photo.sized) suggestSize(current);
      photo.sized = true;
    } else if (resized) view.fit();
  }
  redraw();
}

function draw(what) {
  const { width, height, ratio } = view.stage;
  const size = { width: Math.round(width * ratio), height: Math.round(height * ratio) };
  const layers = [marks, paint, picture].slice(0, what);
  for (const { canvas } of layers) {
    if (canvas.width !== size.width || canvas.height !== size.height) Object.assign(canvas, size);
  }
  for (const context of layers) context.clearRect(0, 0, size.width, size.height);
  if (what === MARKS) {
    if (shown) drawMarks();
    return;
  }
  if (what === ALL) tiles.begin("picture");
  if (shown) {
    if (what === ALL) drawPicture(size);
    const { photo, picture: current } = shown;
    const runs = [...photo.runs.values()].filter((run) => run.active && run.strokes.length);
    const live = tools.live && !shaped(tools.live) ? tools.live : null;
    if (!compare.hold) {
      drawPaint(paint, view, photo, current, live, runs);
      drawProposal(paint, view, photo);
    }
    drawMarks();
  }
  tiles.fetchWanted();
  stage.dataset.complete = String(Boolean(shown) && tiles.complete());
  document.body.classList.toggle("zoomed", Boolean(shown) && !view.fitted);
  $("#zoom-value").textContent = shown ? `${Math.round(view.zoom * 100)} %` : "";
}

function drawPicture(size) {
  const { photo, picture: current } = shown;
  const [x, y] = view.origin;
  const place = { zoom: view.zoom, x, y, ...size };
  tiles.draw(picture, sourceOf(photo, current), place, before);
  for (const { photo: where, bitmap, box } of previews.values()) {
    if (where !== photo) continue;
    const [left, top, right, bottom] = box.map((value) => value * view.zoom);
    picture.drawImage(bitmap, x + left, y + top, right - left, bottom - top);
  }
  const { original, offset } = originalOf(photo, current);
  const old = original === current ? null : original;
  placeDivider(old);
  if (!old || !(compare.hold || (compare.divider && compare.share > 0))) return;
  const [right, bottom] = [current.width * view.zoom, current.height * view.zoom];
  const [dx, dy] = offset.map((value) => value * view.zoom);
  picture.save();
  picture.beginPath();
  picture.rect(x, y, compare.hold ? right : Math.round(right * compare.share), bottom);
  picture.clip();
  picture.fillStyle = getComputedStyle(stage).backgroundColor;
  picture.fillRect(x, y, right, bottom);
  tiles.draw(picture, sourceOf(photo, old), { ...place, x: Math.round(x + dx), y: Math.round(y + dy) });
  picture.restore();
}

function placeDivider(old) {
  const divider = $("#divider");
  divider.hidden = !compare.divider || !old || compare.hold;
  const [at, top] = view.toStage([view.photo.width * compare.share, 0]);
  const bottom = view.toStage([0, view.photo.height])[1];
  divider.style.left = `${Math.min(view.stage.width - 1, Math.max(0, at))}px`;
  divider.style.top = `${Math.max(0, top)}px`;
  divider.style.height = `${Math.min(view.stage.height, bottom) - Math.max(0, top)}px`;
  divider.setAttribute("aria-valuenow", String(Math.round(compare.share * 100)));
}

/** Show a version at its own pixels, with the middle of what was filled in the middle, and outline that for a moment. */
export function lookAt(made) {
  const [left, top, right, bottom] = made.box ?? [0, 0, made.width, made.height];
  view.zoomTo(1);
  view.centre([(left + right) / 2, (top + bottom) / 2]);
  flash();
}

/** Outline what was filled for a moment. */
export function flash() {
  outlineFill(true);
  clearTimeout(flash.timer);
  flash.timer = setTimeout(() => outlineFill(false), 1200);
}

/** Outline what was filled, or no longer. */
export function outlineFill(on) {
  compare.outline = on;
  redraw(MARKS);
}

/** Whether the tool has a size. */
const sweeps = () => !["rect", "lasso", "select"].includes(tools.name);

function drawMarks() {
  const { ratio } = view.stage;
  const toScreen = (place) => view.toStage(place).map((value) => value * ratio);
  if (compare.outline && shown.picture.box && isFill(shown.picture)) {
    const [left, top, right, bottom] = shown.picture.box;
    const [[x, y], [x2, y2]] = [toScreen([left, top]), toScreen([right, bottom])];
    const far = 5 * ratio;
    outline(() => marks.roundRect(x - far, y - far, x2 - x + 2 * far, y2 - y + 2 * far, 6 * ratio), ratio);
  }
  if (compare.grown) {
    const [[x, y], [x2, y2]] = [
      [0, 0],
      [shown.picture.width, shown.picture.height],
    ].map(toScreen);
    marks.drawImage(compare.grown, x, y, x2 - x, y2 - y);
  }
  const frame = settings.frame(shown.picture);
  if (frame) {
    const { width, height } = shown.picture;
    const [[x, y], [x2, y2]] = [
      [-frame.left, -frame.top],
      [width + frame.right, height + frame.bottom],
    ].map(toScreen);
    marks.fillStyle = paintColour;
    marks.globalAlpha = 0.18;
    const [[inX, inY], [inX2, inY2]] = [
      [0, 0],
      [width, height],
    ].map(toScreen);
    marks.beginPath();
    marks.rect(x, y, x2 - x, y2 - y);
    marks.rect(inX, inY, inX2 - inX, inY2 - inY);
    marks.fill("evenodd");
    marks.globalAlpha = 1;
    outline(() => marks.rect(x, y, x2 - x, y2 - y), ratio);
  }
  const { live, place } = tools;
  const preview = live && shaped(live) ? live : null;
  marks.save();
  if (preview?.tool.endsWith("rect")) {
    const [[left, top], [right, bottom]] = preview.points.map(toScreen);
    marks.fillStyle = paintColour;
    marks.globalAlpha = preview.tool === "rect" ? 0.45 : 0;
    marks.fillRect(left, top, right - left, bottom - top);
    marks.globalAlpha = 1;
    outline(() => marks.rect(left, top, right - left, bottom - top), ratio);
  }
  if (preview?.tool.endsWith("lasso")) {
    const [first, ...rest] = preview.points.map(toScreen);
    const path = () => {
      marks.moveTo(...first);
      for (const point of rest) marks.lineTo(...point);
    };
    marks.fillStyle = paintColour;
    marks.globalAlpha = preview.tool === "lasso" ? 0.45 : 0;
    marks.beginPath();
    path();
    marks.fill();
    marks.globalAlpha = 1;
    outline(path, ratio);
  }
  if (preview?.tool === "select") {
    outline(() => {
      for (const place of shownOf(preview.points, tools.boxes)) marks.lineTo(...toScreen(place));
    }, ratio);
  }
  const line = preview && swept(preview.tool) ? preview.points : null;
  const offered = tools.line && tools.last && place && sweeps() ? [tools.last, place] : null;
  if (line ?? offered) {
    const [from, to] = (line ?? offered).map(toScreen);
    marks.globalAlpha = line ? 0.5 : 0.3;
    marks.strokeStyle = paintColour;
    marks.lineCap = "round";
    marks.lineWidth = Math.max(ratio, tools.size * view.zoom);
    marks.beginPath();
    marks.moveTo(...from);
    marks.lineTo(...to);
    marks.stroke();
    marks.globalAlpha = 1;
  }
  if (place && !compare.hold && !stage.classList.contains("panning")) {
    const [x, y] = toScreen(place);
    if (!sweeps()) {
      const arm = 9 * ratio;
      outline(() => {
        for (const [dx, dy] of [
          [arm, 0],
          [0, arm],
        ]) {
          marks.moveTo(x - dx, y - dy);
          marks.lineTo(x + dx, y + dy);
        }
      }, ratio);
    } else outline(() => marks.arc(x, y, Math.max(1.5 * ratio, (tools.size * view.zoom) / 2), 0, 2 * Math.PI), ratio);
  }
  marks.restore();
}

/** A thin line that shows on any photo: white on black. */
function outline(path, ratio) {
  for (const [colour, width] of [
    ["rgb(0 0 0 / 65%)", 3],
    ["white", 1.25],
  ]) {
    marks.beginPath();
    path();
    marks.strokeStyle = colour;
    marks.lineWidth = width * ratio;
    marks.stroke();
  }
}

/** The fill so far, in its place; null when the run has ended. */
export async function preview(run, photo, url, box) {
  if (!url) {
    previews.delete(run);
  } else {
    const response = await fetch(url).catch(() => null);
    if (!response?.ok || !photo?.runs.get(run)?.active) return;
    const bitmap = await createImageBitmap(await response.blob());
    if (photo.runs.get(run)?.active) previews.set(run, { photo, bitmap, box });
  }
  redraw();
}

/** The window's size or the bars changed: `inset` is what bars cover. */
export function measure(inset) {
  const { width, height } = stage.getBoundingClientRect();
  view.stage = { width, height, ratio: devicePixelRatio };
  view.inset = inset;
  if (shown && view.fitted) view.fit();
  redraw();
}

export const pointers = listenOnStage(stage, view, { all: () => redraw(), marks: () => redraw(MARKS) });

tiles.whenLoaded((address) => {
  if (!address || address.includes("/masks/")) repaint();
  redraw();
});
for (const name of ["photo", "run"]) listen(name, update);
for (const name of ["strokes", "live", "proposal"]) listen(name, () => redraw(PAINT));
listen("tools", () => redraw(MARKS));
listen("settings", () => {
  view.frame = (shown && settings.frame(shown.picture)) ?? NONE;
  if (shown && view.fitted) view.fit();
  redraw();
});
listen("compare", () => redraw());
