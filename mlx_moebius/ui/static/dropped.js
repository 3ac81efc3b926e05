// The files in what was dropped or chosen: files as they are, of folders the photos in them, without subfolders.

import { state } from "./state.js";

const isPhoto = (name) => {
  const extension = /\.[^.]+$/.exec(name.toLowerCase())?.[0];
  return state.server.extensions.includes(extension) && !name.startsWith(".");
};

const byName = (one, other) => one.name.localeCompare(other.name, undefined, { numeric: true });

/** The photos of a folder that was chosen, without files whose names are not a picture's. */
export const ofFolder = (files) =>
  [...files].filter((file) => isPhoto(file.name) && file.webkitRelativePath.split("/").length <= 2).sort(byName);

/** All files of a drop. Must be called while the event is handled. */
export async function droppedFiles(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.() ?? null);
  const plain = [...transfer.files];
  if (!entries.some((entry) => entry?.isDirectory)) return plain;
  const found = [];
  for (const entry of entries.filter(Boolean)) {
    if (entry.isDirectory) found.push(...(await photosIn(entry)));
    else found.push(await fileOf(entry));
  }
  return found;
}

const fileOf = (entry) => new Promise((resolve, reject) => entry.file(resolve, reject));

async function photosIn(folder) {
  const reader = folder.createReader();
  const files = [];
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject)); // at most 100 at a time
    if (some.length === 0) return files.sort(byName);
    for (const entry of some) if (entry.isFile && isPhoto(entry.name)) files.push(await fileOf(entry));
  }
}
