// Masks from files: chosen, dropped with or after their photos, or lying beside the photos of a folder.

import { photoUrl, post, request } from "./api.js";
import { complain, offer, say } from "./dom.js";
import { loaded, refresh } from "./photos.js";
import { state } from "./state.js";
import { keepFile, keepSameFile } from "./store.js";
import { commit } from "./strokes.js";

/** A mask from a file, as one more stroke on a photo. */
export async function openMask(file, photo) {
  if (!photo) return;
  const address = `${photoUrl(photo)}/mask?name=${encodeURIComponent(file.name)}`;
  const { stroke, warnings } = await (await request("POST", address, file)).json();
  await keepFile(photo, `mask/${stroke.mask}`, file);
  add(photo, stroke, warnings);
}

function add(photo, stroke, warnings) {
  commit(stroke, photo);
  photo.outcome = warnings?.length ? { text: "Mask loaded", warnings } : null;
}

/** Which files are masks of which photos, by the rule of the command line: a map from files to the photos' names. */
export async function pairs(files) {
  const open = state.photos.map((photo) => photo.name);
  const { masks } = await post("/api/pairs", { names: [...open, ...files.map((file) => file.name)] });
  return new Map(files.filter((file) => masks[file.name]).map((file) => [file, masks[file.name]]));
}

/** Load masks, [photo, how] for each; one that does not fit is named, the others go on. Returns how many do not fit. */
export async function useMasks(wanted) {
  const errors = [];
  for (const [index, [photo, load]] of wanted.entries()) {
    if (wanted.length > 1) say(`Mask ${index + 1} of ${wanted.length}.`);
    try {
      if (!loaded(photo)) await refresh(photo);
      await load();
    } catch (error) {
      if (!error.expected) throw error;
      errors.push(`${photo.name}: ${error.message}`);
    }
  }
  complain(errors.slice(0, 3).join(" "));
  return errors.length;
}

/** The strokes of a photo for another one, which gets the masks from files that are among them. */
export async function masksOf(source, strokes, photo) {
  const result = [];
  for (const stroke of strokes) {
    if (stroke.tool === "mask") {
      const answer = await post(`${photoUrl(photo)}/same-mask`, { source: source.id, mask: stroke.mask });
      await keepSameFile(source, `mask/${stroke.mask}`, photo, `mask/${answer.stroke.mask}`);
      result.push(answer.stroke);
    } else result.push(stroke);
  }
  return result;
}

/** Offer the masks that lie beside the photos of a folder, where nothing is painted yet. */
export function offerBeside() {
  const untouched = state.photos.filter((photo) => photo.mask && photo.state === "todo");
  if (untouched.length === 0) return;
  const text =
    untouched.length === 1
      ? `${untouched[0].mask} lies beside ${untouched[0].name}.`
      : `${untouched.length} photos have masks beside them.`;
  const load = async (photo) => {
    const { stroke, warnings } = await post(`/api/series/${photo.id}/mask`);
    add(photo, stroke, warnings);
  };
  offer(text, [
    [
      untouched.length === 1 ? "Use it" : "Use them",
      () => useMasks(untouched.map((photo) => [photo, () => load(photo)])),
    ],
    ["No", () => {}],
  ]);
}
