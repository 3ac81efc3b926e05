// The page: prepares its parts, connects the buttons, and opens again what was open before.

import { get, photoUrl, request, useToken } from "./api.js";
import * as carry from "./carry.js";
import * as choice from "./choice.js";
import { close } from "./closing.js";
import * as connection from "./connection.js";
import * as copy from "./copy.js";
import * as demo from "./demo.js";
import { $, $$, attempt, save } from "./dom.js";
import * as editing from "./editing.js";
import * as keys from "./keys.js";
import * as opening from "./opening.js";
import * as othershot from "./othershot.js";
import { adopt, show, showFirst, unsaved } from "./photos.js";
import * as progress from "./progress.js";
import * as review from "./review.js";
import * as runs from "./runs.js";
import * as select from "./select.js";
import * as series from "./series.js";
import * as settings from "./settings.js";
import * as masks from "./masks.js";
import { measure, redraw, view } from "./stage.js";
import { listen, state } from "./state.js";
import * as store from "./store.js";
import { flush, flushAll, painted } from "./strokes.js";
import { choose, resize, SIZES, tools } from "./tools.js";
import { canRedo, canUndo, clear, redo, undo } from "./undo.js";
import * as versions from "./versions.js";

const PANELS = ["#settings", "#extras", "#shots"];

/** How far the bars cover the stage. A fitted photo lies between them. */
function measureBars() {
  standOnDock();
  const box = (selector) => {
    const element = $(selector);
    const found = element.getBoundingClientRect();
    return element.hidden || !found.width ? null : found;
  };
  const gap = innerHeight < 500 ? 4 : 12;
  const inset = { left: gap, top: gap, right: gap, bottom: gap };
  const head = box("#head");
  if (head) inset.top = head.bottom + gap;
  for (const name of ["#tools", "#versions", ...PANELS]) {
    const place = box(name);
    if (!place) continue;
    if (place.width > place.height && place.width > innerWidth / 2)
      inset.bottom = Math.max(inset.bottom, innerHeight - place.top + gap);
    else if (PANELS.includes(name) && place.width > innerWidth / 2)
      continue; // a sheet over the stage
    else if (place.left < innerWidth / 2) inset.left = Math.max(inset.left, place.right + gap);
    else inset.right = Math.max(inset.right, innerWidth - place.left + gap);
  }
  for (const name of ["#album", "#demo", "#selecting", "#action"]) {
    const place = box(name);
    if (place && place.top > innerHeight / 2) inset.bottom = Math.max(inset.bottom, innerHeight - place.top + gap);
    else if (place) inset.top = Math.max(inset.top, place.bottom + gap);
  }
  measure(inset);
}

/** Bars that stand on the dock move with its height; the photo does not. */
function standOnDock() {
  document.documentElement.style.setProperty("--dock", `${innerHeight - $("#dock").getBoundingClientRect().top}px`);
}

/** The slider is logarithmic: every part of it is as useful as the next. */
const toSize = (position) => SIZES.least * (SIZES.most / SIZES.least) ** (position / 100);
const toPosition = (size) => (100 * Math.log(size / SIZES.least)) / Math.log(SIZES.most / SIZES.least);

function updateTools() {
  for (const button of $$("[data-tool]"))
    button.setAttribute("aria-pressed", String(button.dataset.tool === tools.name));
  const slider = $("#size");
  slider.value = toPosition(tools.size);
  slider.disabled = ["rect", "lasso", "select"].includes(tools.name);
  slider.setAttribute("aria-valuetext", `${tools.size} photo pixels`);
  $("#size-value").textContent = `${tools.size} px`;
  $("#undo").disabled = !canUndo();
  $("#redo").disabled = !canRedo();
  $("#clear").disabled = !painted();
  $("#save-mask").disabled = $("#copy-mask").disabled = !painted();
  $("#load-mask").disabled = !state.photo;
}

function updatePhoto(photo) {
  document.body.classList.toggle("no-photo", !photo);
  const shown = photo?.versions.find((version) => version.id === photo.current);
  $("#name").textContent = photo ? `${photo.name}  ${shown.width} × ${shown.height}` : "";
  $("#close").hidden = Boolean(photo?.inFolder); // such a photo is skipped instead
  updateTools();
}

async function saveMask() {
  const { photo } = state;
  await flush(photo);
  const blob = await (await request("GET", `${photoUrl(photo)}/mask`)).blob();
  save(blob, `${photo.name.replace(/\.[^.]+$/, "")}_mask.png`);
}

function connectButtons() {
  const on = (selector, act) => ($(selector).onclick = () => attempt(act));
  on("#run", keys.run);
  on("#cancel", () => runs.cancel(runs.active()[0]));
  on("#another", () => runs.again(1));
  on("#four", () => runs.again(4));
  on("#undo", undo);
  on("#redo", redo);
  on("#clear", clear);
  on("#close", () => close(state.photo));
  on("#save-mask", saveMask);
  on("#fold", () => settings.fold());
  on("#extras-open", () => settings.fold("extras"));
  on("#zoom-in", () => redraw(view.zoomTo(view.zoom * 1.25)));
  on("#zoom-out", () => redraw(view.zoomTo(view.zoom / 1.25)));
  on("#zoom-real", () => redraw(view.zoomTo(1)));
  on("#zoom-fit", () => redraw(view.fit()));
  for (const button of $$("[data-tool]")) button.onclick = () => choose(button.dataset.tool);
  $("[data-tool=select]").onclick = () => tools.name === "select" || select.choose();
  $("#size").addEventListener("input", (event) => resize(toSize(Number(event.target.value))));
  for (const panel of PANELS) $(panel).addEventListener("submit", (event) => event.preventDefault());
  // After a click the keys belong to the stage again: Space moves the photo instead of pressing the button once more.
  addEventListener("click", (event) => {
    const button = event.target.closest?.("button");
    if (
      event.detail > 0 &&
      button &&
      state.photo &&
      !button.closest("dialog, .panel, #choice") &&
      !["fold", "extras-open", "shots-open"].includes(button.id)
    ) {
      if (!$("dialog[open]")) $("#stage").focus({ preventScroll: true });
    }
  });
}

/** After a run the focus moves to the result, unless the user works elsewhere. */
function focusResult({ photo, run }) {
  if (photo !== state.photo || run.versions.length > 1 || document.activeElement.closest?.(".panel, dialog, #album"))
    return;
  $("#stage").focus({ preventScroll: true });
}

async function openAgain() {
  if (state.server.editing) return editing.openHandedOver();
  if (state.server.handed) return show(adopt(await get(`/api/photos/${state.server.handed}`)));
  const kept = await store.restore().catch(() => []); // a browser that keeps nothing: the page works without
  for (const photo of kept.sort((a, b) => b.seen - a.seen)) {
    await attempt(async () => {
      await store.revive(photo);
      if (!state.photo) await show(photo);
    });
  }
  state.photos = state.photos.filter((photo) => photo.versions.length);
  const several = kept.filter((photo) => photo.inSeries);
  if (state.server.series) {
    await series.loadSeries();
    masks.offerBeside();
  } else if (several.length > 1) series.startSeries(several);
  if (!state.photo) {
    const toDo = state.photos.filter((photo) => ["todo", "painted"].includes(photo.state));
    await showFirst([...toDo, ...state.photos.filter((photo) => !toDo.includes(photo))]);
  }
}

async function begin() {
  state.server = await get("/api/state");
  useToken(state.server.token);
  for (const part of [
    settings,
    opening,
    progress,
    versions,
    choice,
    series,
    store,
    connection,
    keys,
    editing,
    demo,
    review,
    othershot,
    select,
    carry,
    copy,
  ])
    part.prepare();
  connectButtons();
  if (!state.server.alone)
    $("#where").textContent = `Photos go to the computer that serves this page (${location.hostname}), and no further.`;
  for (const name of ["strokes", "tools", "run", "proposal"]) listen(name, updateTools);
  listen("photo", updatePhoto);
  listen("photo", measureBars);
  listen("bars", measureBars);
  listen("filled", focusResult);
  new ResizeObserver(standOnDock).observe($("#dock"));
  addEventListener("resize", measureBars);
  addEventListener("pagehide", () => {
    flushAll().catch(() => {});
    store.setAside();
  });
  addEventListener("beforeunload", (event) => unsaved() && event.preventDefault());
  updateTools();
  measureBars();
  connection.connect();
  await (state.server.series ? opening.during(state.server.series.name, openAgain) : openAgain());
  document.body.dataset.ready = "true";
}

attempt(begin);
