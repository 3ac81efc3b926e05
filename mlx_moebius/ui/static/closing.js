// Closing a photo. It can be undone for a while: only then is the photo forgotten, here and on the server.

import { photoUrl, remove } from "./api.js";
import { offerBack } from "./dom.js";
import { show, takeAway } from "./photos.js";
import { cancel } from "./runs.js";
import { startSeries } from "./series.js";
import { emit, state } from "./state.js";

/** Close a photo of the page. Photos of a folder are skipped instead. */
export async function close(photo) {
  if (!photo || photo.inFolder) return;
  for (const run of [...photo.runs.values()].filter((sent) => sent.active)) await cancel(run); // it gives its strokes back
  const at = await takeAway(photo);
  offerBack(
    `${photo.name} is closed.`,
    () => reopen(photo, at),
    () => forget(photo),
  );
}

async function reopen(photo, at) {
  state.photos.splice(at, 0, photo);
  emit("reopened", photo);
  if (photo.inSeries) startSeries([photo]);
  await show(photo);
}

function forget(photo) {
  emit("forgotten", photo);
  remove(photoUrl(photo)).catch(() => {}); // the server forgets it with the page
}
