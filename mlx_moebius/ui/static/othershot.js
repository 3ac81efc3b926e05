// "From another shot": what other shots of the scene show of what is painted, to choose from. The choice is a stroke that
// paints nothing, so undo, reload, runs and versions keep it as they keep what is painted.

import { get, photoUrl, post, request, versionUrl } from "./api.js";
import { $, attempt, complain, make, say } from "./dom.js";
import { proposed } from "./proposal.js";
import * as runs from "./runs.js";
import * as settings from "./settings.js";
import { listen, state } from "./state.js";
import { keepFile } from "./store.js";
import { chosenShots, commit, flush, painted, strokesChanged } from "./strokes.js";
import { percent } from "./taken.js";

const SETTLED = 500; // ms after the last stroke until shots are looked at again
let of = null; // the photo that shots are offered for
let shots = []; // { id, file, sha256, found, error }, found: what it gives of what is painted
let known = ""; // what was painted when the shots were looked at
let together = null; // the share that the chosen ones give together
let turn = 0; // of looking; a newer one ends an older one
let timer = 0;

const isOpen = () => !$("#shots").hidden;
const same = (one, other) => one.file === other.file && one.sha256 === other.sha256;
const isChosen = (shot) => chosenShots().some((chosen) => same(chosen, shot));
const givesNothing = (shot) => Boolean(shot.error) || shot.found?.share === 0;

/** Take from these shots at the next run. */
function choose(wanted) {
  const { photo } = state;
  const list = wanted.map(({ file, sha256 }) => ({ file, sha256 }));
  if (photo.strokes.done.at(-1)?.tool === "from") photo.strokes.done.pop();
  if (list.length || chosenShots().length) commit({ tool: "from", size: 0, points: [], shots: list });
  else strokesChanged(photo);
  say(list.length ? `Taken from ${list.map(({ file }) => file).join(" and ")}.` : "Taken from no other shot.");
}

function toggle(shot) {
  const others = shots.filter((other) => other !== shot && isChosen(other));
  choose(isChosen(shot) ? others : [...others, shot]);
}

/** Ask for the shots that are offered, and look at each, and at those chosen together. */
async function look() {
  if (!isOpen() || !state.photo) return;
  const mine = ++turn;
  const { photo } = state;
  const others = `${photoUrl(photo)}/others`;
  const { shots: offered } = await get(others);
  if (mine !== turn) return;
  const { dilate } = settings.values();
  const strokes = photo.strokes.done.filter(({ tool }) => tool !== "from");
  const now = JSON.stringify([photo.id, photo.current, strokes, dilate]);
  const before = of === photo && known === now ? shots : [];
  shots = offered.map((shot) => before.find(({ id }) => id === shot.id) ?? shot);
  [of, known, together] = [photo, now, null];
  draw();
  if (!painted()) return;
  await flush(photo);
  const ask = (wanted) => post(`${others}/look`, { shots: wanted.map(({ id }) => id), dilate });
  for (const shot of shots.filter(({ found, error }) => !found && !error)) {
    try {
      shot.found = await ask([shot]);
    } catch (error) {
      if (!error.expected) throw error;
      shot.error = error.message;
    }
    if (mine !== turn) return;
    draw();
  }
  const chosen = shots.filter((shot) => isChosen(shot) && !givesNothing(shot));
  if (shots.length && !chosen.length)
    say(`${shots.filter((shot) => !givesNothing(shot)).length} of ${shots.length} shots give something.`);
  if (chosen.length < 2) return;
  const { share } = await ask(chosen);
  if (mine !== turn) return;
  together = share;
  draw();
}

function lookSoon() {
  if (!isOpen()) return;
  clearTimeout(timer);
  timer = setTimeout(() => attempt(look), SETTLED);
  if (of === state.photo) draw();
}

/** What a shot gives, in one line, and why it gives no more. */
function words({ found, error }) {
  if (error) return [error, ""];
  if (!painted()) return ["", ""];
  if (!found) return ["Looking…", ""];
  const [use] = found.uses;
  if (!found.share) return [`Nothing: it ${use.why || "is not needed"}`, ""];
  return [`Gives ${percent(found.share)}, error ${use.error.toFixed(1)} levels`, use.why && `The rest ${use.why}`];
}

function item(shot) {
  const [gives, why] = words(shot);
  const image = make("img", { src: shot.found?.image ?? `${versionUrl(shot, 0)}/thumbnail`, alt: "" });
  const button = make(
    "button",
    { type: "button", class: "shot", onclick: () => attempt(() => toggle(shot)) },
    ...(givesNothing(shot) ? [] : [image]),
    make("span", { class: "name" }, shot.file),
    make("span", {}, gives),
    ...(why ? [make("span", { class: "quiet" }, why)] : []),
  );
  button.setAttribute("aria-pressed", String(isChosen(shot)));
  button.setAttribute("aria-label", [shot.file, gives, why].filter(Boolean).join(". "));
  button.disabled = givesNothing(shot) && !isChosen(shot);
  return make("li", {}, button);
}

function text() {
  if (!shots.length) return "Open other shots of this scene, choose one here, or drop it here.";
  if (!painted() && proposed()) return "Take what is proposed, to see what each shot gives of it.";
  if (!painted()) return "Paint over what should go, to see what each shot gives of it.";
  if (shots.every(givesNothing)) return "None of them gives anything here: it is filled as always.";
  if (together !== null) return `Together they give ${percent(together)}.`;
  return "What is left pink is filled as always. Choose one or more, then remove.";
}

function draw() {
  const list = $("#shots-list");
  const at = [...list.children].findIndex((element) => element.contains(document.activeElement));
  list.replaceChildren(...shots.map(item));
  if (at >= 0) $("button", list.children[at] ?? list)?.focus();
  $("#shots-text").textContent = text();
  const useful = shots.filter((shot) => !givesNothing(shot));
  $("#shots-all").disabled = useful.length === 0 || useful.every(isChosen);
  $("#shots-none").disabled = chosenShots().length === 0;
}

/** Give files as other shots of the photo shown. */
export async function addFiles(files) {
  const { photo } = state;
  const refused = [];
  for (const file of files) {
    const address = `${photoUrl(photo)}/others?name=${encodeURIComponent(file.name)}`;
    try {
      const shot = await (await request("POST", address, file)).json();
      await keepFile(photo, `shot/${shot.sha256}`, file);
    } catch (error) {
      if (!error.expected) throw error;
      refused.push(error.message);
    }
  }
  complain(refused.join("; "));
  await look();
}

/** Show on the button that the next run takes from other shots. */
function mark() {
  $("#shots-open").setAttribute("aria-pressed", String(chosenShots().length > 0));
}

export function prepare() {
  const on = (selector, act) => ($(selector).onclick = () => attempt(act));
  on("#shots-open", () => settings.fold("shots"));
  on("#shots-all", () => choose(shots.filter((shot) => !givesNothing(shot))));
  on("#shots-none", () => choose([]));
  on("#shots-file", () => $("#shot-files").click());
  const input = $("#shot-files");
  input.accept = state.server.extensions.join(",");
  input.addEventListener("change", () => {
    const files = [...input.files];
    input.value = "";
    attempt(() => addFiles(files));
  });
  listen("bars", () => isOpen() && of !== state.photo && attempt(look));
  listen("photo", () => (isOpen() && of !== state.photo ? attempt(look) : lookSoon()));
  for (const name of ["strokes", "settings"]) listen(name, lookSoon);
  listen("proposal", () => isOpen() && draw());
  for (const name of ["strokes", "photo"]) listen(name, mark);
  listen("run", (run) => {
    if (run || !runs.ofShown() || !settings.fold("shots", false)) return; // a run has been sent: its result is looked at
    $("#stage").focus({ preventScroll: true });
  });
  mark();
}
