// Events from the server. The page shows at once that the server is gone, and goes on when it is back.

import { askState, eventsUrl, useToken } from "./api.js";
import { $, attempt } from "./dom.js";
import { refresh } from "./photos.js";
import { loadSeries } from "./series.js";
import { preview } from "./stage.js";
import { byId, emit, listen, state } from "./state.js";
import { revive } from "./store.js";
import { retry } from "./tiles.js";

const SILENCE = 12_000; // ms without events; the server sends one every 5 s at least
const EVERY = 1_000; // ms between two attempts to reach a server that is gone
const GONE = "The server is gone. Everything is kept; this page goes on when it is started again.";
const KEEP_OPEN = "The server is gone. Keep this tab open: it goes on when the server is started again.";
const OTHER_ADDRESS = "The server has a new address: open the one that it has printed. What is here is kept.";

let events = null;
let gone = false;
let watch = 0;

function heard() {
  clearTimeout(watch);
  watch = setTimeout(lost, SILENCE);
}

export function connect() {
  events = new EventSource(eventsUrl());
  const on = (name, act) =>
    events.addEventListener(name, (event) => {
      heard();
      act(JSON.parse(event.data || "null"));
    });
  on("run", (run) => emit("run-data", run));
  on("preview", ({ run, url, box }) => {
    const photo = state.photos.find((candidate) => candidate.runs.has(run));
    if (photo) preview(run, photo, url, box);
  });
  on("model", (download) => emit("model", download));
  on("ping", () => {});
  events.onopen = heard;
  events.onerror = lost;
  heard();
}

function lost() {
  if (gone) return;
  gone = true;
  clearTimeout(watch);
  events?.close();
  look();
}

/** Ask whether the server is there, and say so if it is not, until it is. */
async function look() {
  let server = null;
  let text;
  try {
    const answer = await askState();
    if (answer.ok) server = await answer.json();
    else if (answer.status === 401) text = OTHER_ADDRESS;
  } catch {
    // it does not answer
  }
  if (!server) show(true, text);
  else if (await attempt(() => back(server))) return;
  setTimeout(look, EVERY); // it may have gone again while it was told what it had forgotten
}

/** What is said while the server is gone. A browser that keeps nothing loses with its tab what is painted. */
const goneText = () => (state.photos.every((photo) => photo.key || photo.inFolder) ? GONE : KEEP_OPEN);

function show(missing, text = goneText()) {
  $("#gone").hidden = !missing;
  if (missing && $("#gone").textContent !== text) $("#gone").textContent = text;
  document.body.classList.toggle("server-gone", missing);
}

async function back(server) {
  const restarted = server.boot !== state.server.boot;
  if (restarted) {
    useToken(server.token);
    for (const photo of state.photos.filter((kept) => kept.key)) await revive(photo);
    if (server.series) await loadSeries();
    state.server = server; // now it knows everything
  } else if (state.photo && byId(state.photo.id)) await refresh(state.photo);
  gone = false;
  show(false);
  emit("server-back");
  connect();
  retry();
  emit("photo", state.photo);
  emit("photos");
  return true;
}

export function prepare() {
  listen("no-answer", lost);
}
