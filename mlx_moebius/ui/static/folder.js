// Writes finished photos into a folder that the user chooses, where the browser can (File System Access). Nothing that is
// there is replaced.

import { download, versionUrl } from "./api.js";
import { version } from "./state.js";

/** Whether this browser lets a page write into a folder. */
export const canWrite = () => "showDirectoryPicker" in window;

/** Whether the folder has something of this name. */
async function taken(folder, name) {
  try {
    await folder.getFileHandle(name);
    return true;
  } catch (error) {
    return error.name !== "NotFoundError";
  }
}

/** The name, or the first of "name (2)", "name (3)" that is free. */
async function freeName(folder, name) {
  const [, stem, extension] = /^(.*?)(\.[^.]*)?$/s.exec(name);
  let free = name;
  for (let number = 2; await taken(folder, free); number++) free = `${stem} (${number})${extension ?? ""}`;
  return free;
}

/** Ask for a folder and write the photos' current versions there. Returns its name; null if nothing was chosen. */
export async function saveInFolder(photos, each) {
  let folder;
  try {
    folder = await window.showDirectoryPicker({ mode: "readwrite" });
  } catch (error) {
    if (error.name === "AbortError") return null; // the user closed the dialogue
    throw error;
  }
  for (const photo of photos) {
    const { blob, name } = await download(`${versionUrl(photo, version(photo).id)}/file`);
    const handle = await folder.getFileHandle(await freeName(folder, name), { create: true });
    const file = await handle.createWritable(); // takes the file's place once it is closed
    await file.write(blob);
    await file.close();
    each(photo);
  }
  return folder.name;
}
