// Keeps photos, strokes and versions in the browser (IndexedDB): they survive a reload and a restart of the server.
// Every tab has separate photos. The photos of a closed tab go to the next tab that opens.

import { get, photoUrl, post, put, remove, request, upload, versionUrl } from "./api.js";
import { adopt } from "./photos.js";
import { recall, remember } from "./remember.js";
import { view } from "./stage.js";
import { emit, isFill, listen, state } from "./state.js";

const TAB = "moebius.tab"; // in sessionStorage: the tab's name
const LAST = "moebius.last"; // in sessionStorage: records not yet written when the page was left
let database = null;
let tab = "";

const done = (wish) =>
  new Promise((resolve, reject) => {
    wish.onsuccess = () => resolve(wish.result);
    wish.onerror = () => reject(wish.error);
  });

async function open() {
  const wish = indexedDB.open("moebius", 1);
  wish.onupgradeneeded = () => {
    wish.result.createObjectStore("photos", { keyPath: "key" });
    wish.result.createObjectStore("files");
  };
  database = await done(wish);
}

const at = (name, mode = "readonly") => database.transaction(name, mode).objectStore(name);
const fileOf = (photo, what) => done(at("files").get(`${photo.key}/${what}`));
const newKey = () => `${Date.now()}-${Math.random().toString(36).slice(2)}`;

/** Keep a photo's file, and from now on everything that happens to the photo. */
export async function keepPhoto(photo, file) {
  if (!database) throw new Error("the browser does not let the page keep anything.");
  photo.key ??= newKey();
  await keepFile(photo, "original", file);
  await write(photo);
}

export async function keepFile(photo, what, file) {
  if (database && photo.key) await done(at("files", "readwrite").put(file, `${photo.key}/${what}`));
}

/** Keep a file of one photo for another photo as well; masks of folders are not kept. */
export async function keepSameFile(from, what, photo, name) {
  const file = database && from.key && (await fileOf(from, what));
  if (file) await keepFile(photo, name, file);
}

/** Strokes that runs have taken: they come back if the server forgets the runs. */
const taken = (photo) =>
  [...photo.runs.values()].filter((run) => run.active && run.taken).flatMap((run) => run.strokes);

function recordOf(photo) {
  const { key, id, name, versions, current, strokes, redo, requests, inSeries } = photo;
  const record = {
    key,
    tab,
    id,
    name,
    versions,
    current,
    strokes,
    redo,
    requests,
    inSeries,
    state: photo.state,
    closed: photo.closed === true,
    skipped: photo.skipped === true,
    accepted: photo.accepted,
    view: photo.view,
    taken: taken(photo),
  };
  record.seen = photo.seen ?? 0;
  if (photo === state.photo) record.view = view.state;
  record.order = state.photos.indexOf(photo);
  return JSON.parse(JSON.stringify(record));
}

const write = async (photo) => database && photo.key && done(at("photos", "readwrite").put(recordOf(photo)));

const unwritten = new Set(); // photos that changed
let underWay = null; // the one that is being written

async function writeSoon(photo) {
  if (!photo?.key) return;
  unwritten.add(photo);
  while (unwritten.size && !underWay) {
    [underWay] = unwritten;
    unwritten.delete(underWay);
    await write(underWay).catch(() => {}); // it is tried again with the next change
    underWay = null;
  }
}

/** When the page is left, the database may not finish: set aside at once what is still to be written. */
export function setAside() {
  const changed = new Set([...unwritten, underWay, state.photo].filter((photo) => photo?.key)); // state.photo for its view
  const records = [...changed].map(recordOf);
  remember("sessionStorage", LAST, records);
}

/** Keep the file of every version that is not kept yet. */
async function keepVersions(photo) {
  if (!photo.key) return;
  photo.kept ??= new Set();
  for (const { id } of photo.versions.filter(isFill)) {
    if (photo.kept.has(id)) continue;
    photo.kept.add(id);
    await keepFile(photo, id, await (await request("GET", `${versionUrl(photo, id)}/file?keep=1`)).blob());
  }
  await write(photo);
}

async function forget(photo) {
  if (!database || !photo.key) return;
  unwritten.delete(photo);
  await done(at("files", "readwrite").delete(IDBKeyRange.bound(`${photo.key}/`, `${photo.key}/\uffff`)));
  await done(at("photos", "readwrite").delete(photo.key));
}

/** Name this tab: as before after a reload, anew for a copy of a tab, as a closed tab for a new one. */
async function nameTab(records) {
  const locks = navigator.locks;
  const held = new Set(locks ? (await locks.query()).held.map((lock) => lock.name) : []);
  const lockOf = (name) => `moebius ${name}`;
  const mine = recall("sessionStorage", TAB);
  tab = mine && !held.has(lockOf(mine)) ? mine : newKey();
  if (!mine && locks) tab = records.findLast((record) => !held.has(lockOf(record.tab)))?.tab ?? tab;
  remember("sessionStorage", TAB, tab);
  locks?.request(lockOf(tab), () => new Promise(() => {}));
  if (!locks) return;
  for (const record of records) {
    if (record.tab !== tab && !held.has(lockOf(record.tab))) await forget(record);
  }
}

/** The photos that this tab had; the server may not know them (see `revive`). `seen` tells which was on the stage. */
export async function restore() {
  await open();
  const aside = recall("sessionStorage", LAST) ?? [];
  remember("sessionStorage", LAST);
  for (const record of aside) await done(at("photos", "readwrite").put(record));
  const records = await done(at("photos").getAll());
  await nameTab(records);
  for (const record of records.filter((one) => one.tab === tab && one.closed)) await forgetClosed(record);
  const mine = records.filter((record) => record.tab === tab && !record.closed).sort((a, b) => a.order - b.order);
  return mine.map(({ order, tab: _, ...record }) => {
    const photo = {
      ...record,
      runs: new Map(),
      revision: 0,
      sized: false,
      kept: new Set(record.versions.map(({ id }) => id)),
    };
    state.photos.push(photo);
    return photo;
  });
}

/** Forget a photo that was closed before the page was left. */
async function forgetClosed(record) {
  await forget(record);
  await remove(photoUrl(record)).catch(() => {});
}

/** Make sure that the server knows a photo: ask, and send everything again if it does not. */
export async function revive(photo) {
  try {
    const data = await get(photoUrl(photo));
    adopt(data);
    if (photo.key) await put(`${photoUrl(photo)}/strokes`, photo.strokes);
  } catch (error) {
    if (error.status !== 404 || !photo.key) throw error;
    await bringAgain(photo);
  }
  emit("photos");
}

async function bringAgain(photo) {
  const { versions, current } = photo;
  const lost = [...(photo.taken ?? []), ...taken(photo)];
  let data = await upload(await fileOf(photo, "original"), photo.name);
  const ids = { [versions[0].id]: data.versions[0].id };
  photo.runs.clear();
  photo.id = data.id;
  photo.restored = {};
  for (const old of versions.slice(1)) {
    const file = await fileOf(photo, old.id);
    if (!file) continue;
    const query = new URLSearchParams({ made_from: ids[old.made_from] ?? data.versions[0].id });
    if (old.seed !== null) query.set("seed", old.seed);
    data = await (await request("POST", `${photoUrl(photo)}/versions?${query}`, file)).json();
    const id = data.versions.at(-1).id;
    ids[old.id] = id;
    photo.kept.add(id);
    await keepFile(photo, id, file);
    const { strokes, offset, box, seed, saved, taken } = old;
    photo.restored[id] = { strokes: await masksAgain(photo, strokes ?? []), offset, box, seed, saved, taken };
  }
  photo.requests = Object.fromEntries(
    Object.entries(photo.requests).map(([id, body]) => [ids[id], { ...body, on: undefined }]),
  );
  photo.accepted = ids[photo.accepted];
  photo.redo = photo.redo.map((step) => ({ ...step, from: ids[step.from], to: ids[step.to] }));
  photo.strokes = {
    done: await masksAgain(photo, [...lost, ...photo.strokes.done]),
    undone: await masksAgain(photo, photo.strokes.undone),
  };
  photo.taken = [];
  adopt(data);
  if (ids[current] && data.current !== ids[current])
    adopt(await post(`${photoUrl(photo)}/current`, { version: ids[current] }));
  await put(`${photoUrl(photo)}/strokes`, photo.strokes);
  await write(photo);
}

/** Send the loaded masks among the strokes again. Returns the strokes with the masks' new names. */
async function masksAgain(photo, strokes) {
  photo.masks ??= {};
  const result = [];
  for (const stroke of strokes) {
    if (stroke.tool === "mask") {
      const file = await fileOf(photo, `mask/${stroke.mask}`);
      if (!file) continue;
      const key = `${photo.id} ${stroke.mask}`;
      if (!photo.masks[key]) {
        const answer = await (await request("POST", `${photoUrl(photo)}/mask?name=mask.png`, file)).json();
        photo.masks[key] = answer.stroke;
        await keepFile(photo, `mask/${answer.stroke.mask}`, file);
      }
      result.push(photo.masks[key]);
    } else {
      if (stroke.tool === "from") await shotsAgain(photo, stroke.shots);
      result.push(stroke);
    }
  }
  return result;
}

/** Send other shots that came from files again. */
async function shotsAgain(photo, shots) {
  for (const { file: name, sha256 } of shots) {
    const file = await fileOf(photo, `shot/${sha256}`);
    if (file) await request("POST", `${photoUrl(photo)}/others?name=${encodeURIComponent(name)}`, file);
  }
}

export function prepare() {
  for (const name of ["strokes", "photo", "keep"]) listen(name, writeSoon);
  listen("run", (run) => run && writeSoon(state.photos.find((photo) => photo.id === run.photo)));
  listen("filled", ({ photo }) => keepVersions(photo).catch(() => {})); // a reload is then without this version
  listen("closed", (photo) => writeSoon(Object.assign(photo, { closed: true })));
  listen("reopened", (photo) => writeSoon(Object.assign(photo, { closed: false })));
  listen("forgotten", (photo) => forget(photo).catch(() => {}));
}
