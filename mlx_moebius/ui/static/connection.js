// News from the server; that it is gone is shown at once and ends by itself.

import { askState, eventsUrl, useToken } from "./api.js";
import { $, attempt } from "./dom.js";
import { refresh } from "./photos.js";
import { loadSeries } from "./series.js";
import { preview } from "./stage.js";
import { byId, emit, listen, state } from "./state.js";
import { revive } from "./store.js";
import { retry } from "./tiles.js";

const SILENCE = 12_000; // ms without news, of which there are some every 5 s
const EVERY = 1_000; // ms between two looks for a server that is gone
const GONE = "The server is gone. Everything is kept; this page goes on when it is started again.";
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
    const photo = state.photos.find((each) => each.runs.has(run));
    if (photo) preview(run, photo, url, box);
  });
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

/** Look whether the server is there; only when it is not, say so. */
async function look() {
  let server = null;
  let text = GONE;
  try {
    const answer = await askState();
    if (answer.ok) server = await answer.json();
    else if (answer.status === 401) text = OTHER_ADDRESS;
  } catch {
    // it does not answer
  }
  if (server) await attempt(() => back(server));
  else {
    show(true, text);
    setTimeout(look, EVERY);
  }
}

function show(missing, text = GONE) {
  $("#gone").hidden = !missing;
  if (missing && $("#gone").textContent !== text) $("#gone").textContent = text;
  document.body.classList.toggle("server-gone", missing);
}

async function back(server) {
  const restarted = server.boot !== state.server.boot;
  if (restarted) {
    useToken(server.token);
    state.server = server;
    const series = Boolean(state.server.series);
    for (const photo of state.photos.filter((each) => each.key)) await revive(photo);
    if (series) await loadSeries();
  } else if (state.photo && byId(state.photo.id)) await refresh(state.photo);
  gone = false;
  show(false);
  connect();
  retry();
  emit("photo", state.photo);
  emit("photos");
}

export function prepare() {
  listen("no-answer", lost);
}
