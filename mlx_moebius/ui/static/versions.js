// The versions of the photo: a strip of thumbnails, the photo before while a key is held, a divider to compare.

import { download, versionUrl } from "./api.js";
import { $, attempt, icon, make, save } from "./dom.js";
import * as runs from "./runs.js";
import { compare, view } from "./stage.js";
import { emit, isFill, listen, state, version } from "./state.js";
import { takenText } from "./taken.js";
import { choose } from "./undo.js";

const label = (index) => (index === 0 ? "Original" : `Removal ${index}`);

const titleOf = (made, index) =>
  [
    made.seed === null ? "" : `Seed ${made.seed}`,
    takenText(made),
    made.saved || index === 0 ? "" : "Not downloaded yet",
  ]
    .filter(Boolean)
    .join(". ");

/** Let a version be dragged out of the page, as its file. */
function dragOut(event, photo, made) {
  const url = new URL(`${versionUrl(photo, made.id)}/file`, location.href).href;
  event.dataTransfer.setData("DownloadURL", `application/octet-stream:${fileName(photo.name)}:${url}`);
  event.dataTransfer.setData("text/uri-list", url);
  event.dataTransfer.effectAllowed = "copy";
}

/** The name of a filled photo's file. */
const fileName = (name) => name.replace(/(\.[^.]+)?$/, (extension) => `_filled${extension}`);

/** A run of this photo that waits, and a button that takes it out of the queue. */
function waiting(run) {
  const onclick = () => runs.cancel(run);
  const stop = make(
    "button",
    { type: "button", class: "icon", title: "Cancel", "aria-label": "Cancel" },
    icon("close"),
  );
  stop.onclick = onclick;
  const before = run.before === 1 ? "1 before it" : `${run.before} before it`;
  return make(
    "li",
    { class: "waiting", "data-run": run.id },
    make("span", {}, "Waiting"),
    make("small", {}, before),
    stop,
  );
}

function update() {
  const { photo } = state;
  const list = $("#versions");
  const all = (photo?.versions ?? []).filter((made) => !made.candidate);
  list.hidden = all.length === 0;
  const buttons = all.map((made, index) => {
    const image = make("img", { src: `${versionUrl(photo, made.id)}/thumbnail`, alt: "" });
    const button = make("button", { type: "button", title: titleOf(made, index) }, image, label(index));
    if (made.id === photo.current) button.setAttribute("aria-current", "true");
    button.onclick = () => attempt(() => choose(photo, made.id));
    if (isFill(made)) {
      button.draggable = true;
      button.ondragstart = (event) => dragOut(event, photo, made);
    }
    return make("li", {}, button);
  });
  if (photo) buttons.push(...runs.waitingOf(photo).map(waiting));
  if (buttons.map((item) => item.outerHTML).join() !== [...list.children].map((item) => item.outerHTML).join()) {
    list.replaceChildren(...buttons);
    $("[aria-current]", list)?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }
  const comparable = isFill(version());
  $("#before").disabled = $("#compare").disabled = !comparable;
  $("#download").disabled = !comparable;
  if (!comparable) compare.hold = compare.divider = false;
  $("#compare").setAttribute("aria-pressed", String(compare.divider));
}

/** Show the photo before, or the fill again. */
export function hold(on) {
  if (on && !isFill(version())) return;
  compare.hold = on;
  $("#before").setAttribute("aria-pressed", String(on));
  emit("compare");
}

/** The middle of what was filled, as a share of the photo's width. */
function shareOfFill() {
  const { box, width } = version() ?? {};
  return box ? (box[0] + box[2]) / 2 / width : 0.5;
}

/** Turn the divider on or off; at first it stands in the middle of what was filled. */
export function toggleDivider(on = !compare.divider) {
  if (on && !isFill(version())) return;
  Object.assign(compare, { divider: on, share: shareOfFill() });
  $("#compare").setAttribute("aria-pressed", String(on));
  emit("compare");
  if (on) requestAnimationFrame(() => $("#divider").focus());
  else $("#stage").focus({ preventScroll: true });
}

function share(value) {
  compare.share = Math.min(1, Math.max(0, value));
  emit("compare");
}

/** Download the version shown, as a file in the photo's format. */
export const saveFile = () => state.photo && saveVersion(state.photo);

/** Download the current version of a photo in the same way. */
export async function saveVersion(photo) {
  const shown = version(photo);
  if (!isFill(shown)) return;
  const { blob, name } = await download(`${versionUrl(photo, shown.id)}/file`);
  save(blob, name);
  shown.saved = true;
  if (photo === state.photo) emit("photo", photo);
}

export function prepare() {
  for (const name of ["photo", "run"]) listen(name, update);
  const before = $("#before");
  before.addEventListener("pointerdown", (event) => {
    before.setPointerCapture(event.pointerId);
    hold(true);
  });
  for (const name of ["pointerup", "pointercancel", "blur", "keyup"]) before.addEventListener(name, () => hold(false));
  before.addEventListener("keydown", (event) => [" ", "Enter"].includes(event.key) && hold(true));
  before.addEventListener("contextmenu", (event) => event.preventDefault());
  $("#compare").onclick = () => toggleDivider();
  $("#download").onclick = () => attempt(saveFile);

  const divider = $("#divider");
  divider.addEventListener("pointerdown", (event) => {
    divider.setPointerCapture(event.pointerId);
    event.stopPropagation();
  });
  divider.addEventListener("pointermove", (event) => {
    if (!divider.hasPointerCapture(event.pointerId)) return;
    const x = event.clientX - $("#stage").getBoundingClientRect().left;
    share(view.toPhoto([x, 0])[0] / view.photo.width);
  });
  divider.addEventListener("keydown", (event) => {
    const to = { ArrowLeft: compare.share - 0.05, ArrowRight: compare.share + 0.05, Home: 0, End: 1 }[event.key];
    if (to === undefined) return;
    share(to);
    event.preventDefault();
    event.stopPropagation();
  });
  update();
}
