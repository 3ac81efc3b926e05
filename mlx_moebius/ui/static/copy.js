// A mask is copied from one photo and pasted on others: as one stroke, whatever it was painted with.

import { get, photoUrl } from "./api.js";
import { $, attempt, complain, inTextField, say } from "./dom.js";
import { strokeOf } from "./outline.js";
import { loaded, refresh } from "./photos.js";
import { state, version } from "./state.js";
import { commit, flush, painted } from "./strokes.js";

const SAME = 0.01; // by which the shapes of two photos may differ, so that a mask of one fits the other

let copied = null; // { name, answer: promise of { loops, width, height } } of the photo that it is from

const label = () => `The mask of ${copied.name}`;

export async function copy() {
  const { photo } = state;
  if (!painted(photo)) return complain("Select or paint something first: there is no mask to copy.");
  const answer = flush(photo).then(() => get(`${photoUrl(photo)}/outline`));
  copied = { name: photo.name, answer };
  $("#paste-mask").disabled = false;
  try {
    await answer;
    say(`${label()} is copied.`);
  } catch (error) {
    copied = null;
    $("#paste-mask").disabled = true;
    throw error;
  }
  return undefined;
}

/** Paste on the photos that are chosen in the strip; if none is, on the photo shown. */
export async function paste() {
  if (!copied || !state.photo) return;
  const { loops, width, height } = await copied.answer;
  const chosen = state.photos.filter((photo) => photo.chosen);
  const unlike = [];
  for (const photo of chosen.length ? chosen : [state.photo]) {
    if (!loaded(photo)) await refresh(photo);
    const shown = version(photo);
    const [across, down] = [shown.width / width, shown.height / height];
    if (Math.abs(across / down - 1) > SAME) unlike.push(photo.name);
    else if (loops.length) {
      const fitted = loops.map((loop) => loop.map(([x, y]) => [x * across, y * down]));
      commit(strokeOf(fitted), photo);
    }
  }
  if (unlike.length) complain(`${label()} does not fit ${unlike.join(", ")}: photos of another shape.`);
  else say(`${label()} is pasted${chosen.length > 1 ? ` on ${chosen.length} photos` : ""}.`);
}

export function prepare() {
  $("#copy-mask").onclick = () => attempt(copy);
  $("#paste-mask").onclick = () => attempt(paste);
  // The clipboard gets words, so that what was copied last is what is pasted: a picture from elsewhere, or the mask.
  addEventListener("copy", (event) => {
    if (inTextField() || !getSelection().isCollapsed || !painted()) return;
    event.preventDefault();
    const copying = copy();
    event.clipboardData.setData("text/plain", label());
    attempt(() => copying);
  });
  addEventListener("paste", (event) => {
    if (inTextField() || !copied || event.clipboardData?.getData("text/plain") !== label()) return;
    event.preventDefault();
    attempt(paste);
  });
}
