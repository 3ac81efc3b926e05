// Photos that another program has handed over: "Done" writes one back, and the next one comes.

import { get, post } from "./api.js";
import { $, attempt, complain, say } from "./dom.js";
import { adopt, forget, show } from "./photos.js";
import { emit, state } from "./state.js";
import { flush } from "./strokes.js";

/** Show the photo that is to be edited. */
export async function openHandedOver() {
  const { editing } = state.server;
  document.body.classList.add("editing");
  $("#finish").hidden = false;
  if (!editing) return;
  $("#finish").textContent = editing.left > 1 ? "Done, next" : "Done";
  await show(adopt(await get(`/api/photos/${editing.id}`)));
}

/** Write the photo back; its strokes that are not filled yet are not part of it. */
async function finish() {
  const { photo } = state;
  await flush(photo);
  const { editing, notes } = await post("/api/editing/done", { photo: photo.id });
  state.server.editing = editing;
  forget(photo);
  if (notes.length) complain(notes.join(" "));
  if (editing) return openHandedOver();
  $("#finish").hidden = true;
  $("#welcome").innerHTML = "<h1>Done</h1><p>The photo is written. This page can be closed.</p>";
  emit("photo", null);
  emit("photos");
  return say("The photo is written. This page can be closed.");
}

export function prepare() {
  $("#finish").onclick = () => attempt(finish);
}
