// The same selection in the photos after this one: the server moves it with the scene, and it is proposed there.

import { photoUrl, post } from "./api.js";
import { $, attempt, complain, endNotice, offer, say } from "./dom.js";
import { loaded, refresh } from "./photos.js";
import { suggest, take } from "./proposal.js";
import { go } from "./series.js";
import { listen, state } from "./state.js";
import { flush, painted } from "./strokes.js";

let stopped = true;

/** The photos after a photo that have still to be done. */
const after = (photo) =>
  state.photos
    .slice(state.photos.indexOf(photo) + 1)
    .filter((other) => other.inSeries && ["todo", "painted", "proposed"].includes(other.state));

/** Take what is proposed here, and propose all that is painted in the next photos, until the scene is another. */
export async function carry() {
  const { photo } = state;
  if (!photo?.inSeries || !stopped) return undefined;
  await take(photo);
  const wanted = after(photo);
  if (!painted(photo)) return complain("Select or paint what should go first, then look for it in the next photos.");
  if (wanted.length === 0) return complain("No photo after this one has still to be done.");
  await flush(photo);
  stopped = false;
  let count = 0;
  const told = () => `Proposed in ${count} of the next ${wanted.length} photos.`;
  try {
    for (const next of wanted) {
      offer(`Looking in ${next.name}, ${count + 1} of ${wanted.length}.`, [["Stop", () => (stopped = true)]]);
      if (!loaded(next)) await refresh(next);
      const on = next.current;
      const found = await post(`${photoUrl(next)}/carried`, { source: photo.id, on });
      if (stopped) break;
      suggest("carried", found.parts, next);
      count += 1;
    }
    say(told());
    offer(`${told()} Look at each: Enter takes it.`, [["Next photo", () => go(1)]]);
  } catch (error) {
    endNotice();
    error.message = `${told()} ${error.message}`;
    throw error;
  } finally {
    stopped = true;
  }
  return undefined;
}

function update() {
  $("#carry").hidden = !state.photo?.inSeries;
}

export function prepare() {
  $("#carry").onclick = () => attempt(carry);
  for (const name of ["photo", "photos"]) listen(name, update);
}
