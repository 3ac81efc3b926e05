// Many photos: thumbnails with their states, filters, and one key that queues a photo and shows the next.

import { get, post, request, versionUrl } from "./api.js";
import { $, attempt, complain, icon, make, save, say } from "./dom.js";
import * as folder from "./folder.js";
import { loaded, refresh, show } from "./photos.js";
import { proposed } from "./proposal.js";
import { masksOf, useMasks } from "./masks.js";
import * as runs from "./runs.js";
import * as settings from "./settings.js";
import { view } from "./stage.js";
import { byId, emit, isFill, listen, state, version } from "./state.js";
import { painted, recallUnsent, replace } from "./strokes.js";
import * as tiles from "./tiles.js";
import { saveVersion } from "./versions.js";

const NAMES = {
  todo: "to do",
  proposed: "proposed",
  painted: "painted",
  queued: "queued",
  running: "running",
  done: "done",
  accepted: "accepted",
  failed: "failed",
  skipped: "skipped",
};
const AT_ONCE = 12; // runs that the server gets at a time
const toSend = []; // { photo, body } of runs that the server gets later
export const unsent = () => toSend.length;
let lastQueued = null;
let filter = "";

export const inSeries = () => state.photos.filter((photo) => photo.inSeries);
const seen = () => state.photos.filter((photo) => !filter || photo.state === filter || photo === state.photo);

/** Take over a photo of the folder. A photo from before a restart of the server keeps its strokes. */
function adoptItem(item) {
  let photo = state.photos.find((known) => known.inFolder && known.name === item.name);
  if (!photo) {
    photo = { redo: [], runs: new Map(), requests: {}, revision: 0, versions: [], strokes: null };
    state.photos.push(photo);
  } else if (photo.id !== item.id) {
    const taken = [...photo.runs.values()].filter((run) => run.active && run.taken).flatMap((run) => run.strokes);
    photo.runs.clear();
    Object.assign(photo, { id: item.id, versions: [], redo: [], requests: {} });
    if (photo.strokes) replace(photo, [...taken, ...photo.strokes.done]);
  }
  Object.assign(photo, item, { inSeries: true, inFolder: true, skipped: item.state === "skipped" });
}

/** Load the server's series: the photos of a folder. */
export async function loadSeries() {
  const { name, out, items } = await get("/api/series");
  state.series = { name, out };
  items.forEach(adoptItem);
  for (const photo of inSeries().filter((one) => one.inFolder)) recallUnsent(photo);
  if (state.photo && !loaded(state.photo)) await refresh(state.photo);
  emit("photos");
}

/** Make a series of photos that were opened on the page, or add them to the series there is. */
export function startSeries(photos) {
  if (state.series?.out) return; // a folder's series takes in no other photos
  state.series ??= { name: "", out: null };
  for (const photo of photos) photo.inSeries = true;
  emit("photos");
  emit("photo", state.photo);
}

/** The state of a photo, from what the page knows of it; for one that was not looked at, what the server said. */
function stateOf(photo) {
  const run = [...photo.runs.values()].find((sent) => sent.active);
  if (run || toSend.some((waiting) => waiting.photo === photo)) return run?.state === "running" ? "running" : "queued";
  if (photo.skipped) return "skipped";
  if (photo.error) return "failed";
  if (proposed(photo)) return "proposed";
  if (photo.strokes && painted(photo)) return "painted";
  if (photo.landing === 1) return "done";
  if (!loaded(photo)) return photo.state ?? "todo";
  if (!isFill(version(photo))) return "todo";
  return photo.accepted === photo.current ? "accepted" : "done";
}

/** Show the photo `far` places on, among those that the filter shows. */
export async function go(far) {
  const all = seen();
  for (let at = all.indexOf(state.photo) + far; all[at]; at += far) if (await show(all[at])) return;
}

/** Show the next photo that has still to be done; files that cannot be read are passed over. */
async function showNext() {
  for (let next = nextToDo(); next; next = nextToDo()) if (await show(next)) return true;
  return false;
}

/** The next photo that has still to be done, after the one shown or from the start. */
function nextToDo() {
  const at = state.photos.indexOf(state.photo);
  const order = [...state.photos.slice(at + 1), ...state.photos.slice(0, at)];
  return order.find((photo) => photo.inSeries && ["todo", "painted", "proposed"].includes(photo.state)) ?? null;
}

/** Show the next photo that has still to be done, or if there is none, the next one. */
export async function goOn() {
  if (await showNext()) return;
  await go(1);
  say("Nothing is left to do.");
}

/** Save the mask, queue the photo, show the next one. */
export async function queueAndNext() {
  const { photo } = state;
  if (!painted() && !settings.extension()) return complain("Paint over what should go first, or skip this photo.");
  if (settings.extension()) {
    if (photo.inFolder) return complain("The photos of a folder are not extended: open this photo by itself for that.");
    if (!settings.frame(version())) return complain(`"${settings.extension()}" adds nothing to this photo's frame.`);
  }
  complain();
  lastQueued = { photo, strokes: structuredClone(photo.strokes.done.filter(({ tool }) => tool !== "from")) };
  const sent = queue(photo);
  if (!(await showNext())) say("That was the last photo.");
  return sent;
}

function queue(photo) {
  toSend.push({ photo, body: { ...settings.values(), count: 1 } });
  Object.assign(photo, { skipped: false, error: null });
  emit("photos");
  return sendNext();
}

/** Send queued photos to the server, at most `AT_ONCE` at a time unless it has a folder. */
async function sendNext() {
  while (toSend.length && (state.series?.out || runs.active().length < AT_ONCE)) {
    const { photo, body } = toSend.shift();
    if (!byId(photo.id)) continue;
    await runs.send(photo, body, [...photo.strokes.done], true);
    emit("photos");
  }
}

/** Take a photo out of the queue, or end its run. */
async function unqueue(photo) {
  const at = toSend.findIndex((waiting) => waiting.photo === photo);
  if (at >= 0) toSend.splice(at, 1);
  for (const run of [...photo.runs.values()].filter((sent) => sent.active)) await runs.cancel(run);
  emit("photos");
}

/** Paint the mask of the photo queued last on this photo too, for a camera on a tripod. */
export async function sameMask() {
  const chosen = inSeries().filter((photo) => photo.chosen);
  const wanted = (chosen.length ? chosen : [state.photo]).filter(
    (photo) => photo?.inSeries && photo !== lastQueued?.photo,
  );
  if (!lastQueued || !wanted.length) return;
  const { photo: source, strokes } = lastQueued;
  const paint = async (photo) => {
    replace(photo, await masksOf(source, structuredClone(strokes), photo));
    photo.chosen = false;
  };
  const failed = await useMasks(wanted.map((photo) => [photo, () => paint(photo)]));
  if (chosen.length) say(`The mask is on ${wanted.length - failed} photos.`);
  emit("photos");
}

/** Show a photo; with Ctrl choose it too, or no longer, and with Shift all up to it. */
async function pick(photo, event) {
  if (event.shiftKey) {
    const all = seen();
    const ends = [all.indexOf(state.photo), all.indexOf(photo)].sort((a, b) => a - b);
    for (const between of all.slice(ends[0], ends[1] + 1)) between.chosen = true;
  } else if (event.ctrlKey || event.metaKey) photo.chosen = !photo.chosen;
  else return show(photo);
  return update();
}

export async function skip() {
  const { photo } = state;
  if (!photo?.inSeries) return;
  if (state.series.out) await post(`/api/series/${photo.id}/skip`);
  photo.skipped = true;
  photo.state = "skipped";
  emit("keep", photo);
  emit("photos");
  await showNext();
}

/** Load the next photo before it is needed, with the tiles that the stage will show. */
async function lookAhead() {
  const next = nextToDo();
  if (!state.series || !next || next === state.photo) return;
  if (!loaded(next)) await refresh(next);
  const shown = version(next);
  const { left, right, top, bottom } = view.inset;
  const [width, height] = [view.stage.width - left - right, view.stage.height - top - bottom];
  const zoom = Math.min(width / shown.width, height / shown.height) * view.stage.ratio;
  await tiles.ahead(tiles.source(`${versionUrl(next, shown.id)}/tiles`, shown.width, shown.height), zoom);
}

function update() {
  for (const photo of inSeries()) photo.state = stateOf(photo);
  const album = $("#album");
  const hidden = !state.series && state.photos.length < 2;
  if (album.hidden !== hidden) {
    album.hidden = hidden;
    emit("bars");
  }
  if (hidden) return;
  $("#album > .row").hidden = !state.series;
  $("#series-tools").hidden = !state.photo?.inSeries;
  $("#download-all").hidden = Boolean(state.series?.out);
  $("#save-folder").hidden = $("#download-all").hidden || !folder.canWrite();
  $("#download-all").disabled = $("#save-folder").disabled = ready().length === 0;
  const chosen = inSeries().some((photo) => photo.chosen);
  $("#same-mask").disabled = !lastQueued || (lastQueued.photo === state.photo && !chosen);
  const count = (name) => inSeries().filter((photo) => photo.state === name).length;
  const present = Object.keys(NAMES).filter((name) => count(name) || name === filter);
  const options = [
    new Option(`All ${state.photos.length} photos`, ""),
    ...present.map((name) => new Option(`${count(name)} ${NAMES[name]}`, name)),
  ];
  const text = options.map((option) => option.text).join();
  if ($("#filter").dataset.text !== text) $("#filter").replaceChildren(...options);
  $("#filter").dataset.text = text;
  $("#filter").value = filter;
  const list = $("#photos");
  const items = seen().map(itemOf);
  for (const [index, item] of items.entries()) {
    if (list.children[index] !== item) list.insertBefore(item, list.children[index] ?? null);
  }
  while (list.children.length > items.length) list.lastChild.remove();
}

/** Finished photos that have not been downloaded. */
const ready = () => inSeries().filter((photo) => isFill(version(photo)) && !version(photo).saved);

/** One photo as its file, several as one zip. */
async function downloadAll() {
  const photos = ready();
  if (photos.length === 1) await saveVersion(photos[0]);
  else {
    const response = await request("POST", "/api/zip", { photos: photos.map((photo) => photo.id) });
    save(await response.blob(), "photos.zip");
    for (const photo of photos) version(photo).saved = true;
    emit("photo", state.photo);
  }
  emit("photos");
}

/** The same into a folder. */
async function saveAll() {
  const photos = ready();
  const done = (photo) => {
    version(photo).saved = true;
    emit("keep", photo);
    emit("photos");
  };
  const name = await folder.saveInFolder(photos, done);
  if (name !== null) say(`${photos.length} photos are in ${name}.`);
  emit("photo", state.photo);
}

const items = new Map(); // photo -> its element

function itemOf(photo) {
  let item = items.get(photo);
  if (!item) {
    const image = make("img", { alt: "", loading: "lazy" });
    const button = make(
      "button",
      { type: "button", class: "photo", onclick: (event) => attempt(() => pick(photo, event)) },
      image,
      make("span", { class: "name" }, photo.name),
      make("span", { class: "state" }),
    );
    const stop = make("button", { type: "button", class: "icon stop", title: "Cancel" }, icon("close"));
    stop.setAttribute("aria-label", `Cancel ${photo.name}`);
    stop.onclick = () => attempt(() => unqueue(photo));
    item = make("li", {}, button, stop);
    items.set(photo, item);
  }
  const [button, stop] = item.children;
  const [image, , label] = button.children;
  const url = photo.inFolder ? photo.thumbnail : `${versionUrl(photo, photo.current)}/thumbnail`;
  if (image.getAttribute("src") !== url) image.src = url;
  const name = NAMES[photo.state] ?? "";
  if (label.textContent !== name) label.textContent = name;
  item.dataset.state = photo.state ?? "";
  button.setAttribute("aria-pressed", String(photo.chosen === true));
  stop.hidden = !["queued", "running"].includes(photo.state);
  button.title = [photo.name, photo.error].filter(Boolean).join(": ");
  button.setAttribute("aria-label", [photo.name, name].filter(Boolean).join(", "));
  const current = photo === state.photo;
  if (current !== button.hasAttribute("aria-current")) {
    button.toggleAttribute("aria-current", current);
    if (current) {
      button.setAttribute("aria-current", "true");
      item.scrollIntoView({ block: "nearest", inline: "center" });
    }
  }
  return item;
}

export function prepare() {
  $("#filter").addEventListener("change", () => {
    filter = $("#filter").value;
    update();
  });
  $("#same-mask").onclick = () => attempt(sameMask);
  $("#download-all").onclick = () => attempt(downloadAll);
  $("#save-folder").onclick = () => attempt(saveAll);
  $("#skip").onclick = () => attempt(skip);
  for (const name of ["photo", "photos"]) listen(name, update);
  listen("closed", (photo) => items.delete(photo));
  listen("photo", () => lookAhead().catch(() => {})); // it will be asked for again when it is shown
  listen("run", (run) => {
    sendNext();
    const photo = run && byId(run.photo);
    if (!photo?.inSeries) return;
    if (!loaded(photo)) photo.state = { done: "done", cancelled: "painted" }[run.state] ?? photo.state;
    if (run.versions?.length) photo.thumbnail = `/api/series/${photo.id}/thumbnail?${run.versions.at(-1)}`;
    photo.error = run.error ?? null;
    emit("photos");
  });
  listen("proposal", (photo) => photo.inSeries && stateOf(photo) !== photo.state && update());
  listen("strokes", (photo) => {
    if (!photo?.inSeries) return;
    if (loaded(photo)) photo.error = null; // that of the last run, which filled something else
    if (stateOf(photo) !== photo.state) update();
  });
}
