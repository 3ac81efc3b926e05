// Says that the demonstration model is used, and fetches the released one if the user wants it.

import { askState, post } from "./api.js";
import { $, attempt, complain, make, say } from "./dom.js";
import * as settings from "./settings.js";
import { emit, listen, state } from "./state.js";

const DEMO = "nano";

const size = (bytes) => (bytes >= 1e9 ? `${(bytes / 1e9).toFixed(1)} GB` : `${Math.round(bytes / 1e6)} MB`);

/** What is said and offered, from how the download stands. */
function describe({ state: now, allowed, size: all, bytes, doing }) {
  if (now === "going") {
    const text = doing === "downloading" ? `${size(bytes)} of about ${size(all)} are here.` : "Nearly there.";
    return { text: `The full model comes: ${text}`, bar: { max: all, value: Math.min(bytes, all) } };
  }
  const text = "Demonstration model: its fills are rough.";
  if (!allowed) return { text: `${text} The computer that serves this page can get the full one.` };
  if (now === "here") return { text, act: ["Use the full model", use] };
  return { text, act: [`Get the full model (${size(all)})`, fetch] };
}

async function fetch() {
  complain();
  note(await post("/api/model"));
}

function use() {
  settings.set("model", state.server.download.name);
}

function update() {
  const place = $("#demo");
  const hidden = settings.values().model !== DEMO;
  if (!hidden) {
    const { text, bar, act } = describe(state.server.download);
    const parts = [make("span", {}, text)];
    if (bar) parts.push(make("progress", { ...bar, "aria-label": "Download" }));
    if (act) {
      const known = $("button", place); // the button stays, so that the focus stays on it
      const button = known ?? make("button", { type: "button", class: "small" });
      if (button.textContent !== act[0]) button.textContent = act[0];
      button.onclick = () => attempt(act[1]);
      parts.push(button);
    }
    place.replaceChildren(...parts);
  }
  if (place.hidden === hidden) return;
  place.hidden = hidden;
  emit("bars");
}

/** Take over how the download stands. */
async function note(download) {
  const before = state.server.download.state;
  state.server.download = download;
  if (download.state === "failed" && before === "going") complain(download.error);
  if (download.state === "here" && before !== "here") {
    const { models } = await (await askState()).json();
    settings.offer(Object.assign(state.server, { models }).models);
    use();
    say("The full model is here, and used from now on.");
  }
  update();
}

export function prepare() {
  listen("model", (download) => attempt(() => note(download)));
  listen("settings", update);
  update();
}
