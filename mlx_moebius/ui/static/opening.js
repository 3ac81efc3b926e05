// Opens photos that are chosen, dropped or pasted anywhere. Several become a series. A drop never leaves the page.

import { photoUrl, request, upload } from "./api.js";
import { $, attempt, complain, say } from "./dom.js";
import { adopt, show } from "./photos.js";
import { startSeries } from "./series.js";
import { state } from "./state.js";
import { keepFile, keepPhoto } from "./store.js";
import { commit } from "./strokes.js";

async function openOne(file) {
  const photo = adopt(await upload(file));
  photo.outcome = null;
  await keepPhoto(photo, file).catch((error) => complain(`This photo is not kept for a reload: ${error.message}`));
  return photo;
}

/** Open files. One is shown, several become a series. Files that cannot be read are named. */
export async function openFiles(files) {
  const wanted = [...files].filter((file) => !file.name.startsWith("."));
  if (wanted.length === 0) return;
  complain();
  document.body.classList.add("opening");
  const [opened, errors] = [[], []];
  for (const [index, file] of wanted.entries()) {
    if (wanted.length > 1) say(`Opening ${index + 1} of ${wanted.length}.`);
    try {
      const photo = await openOne(file);
      opened.push(photo);
      if (opened.length === 1) await showFirst(photo);
    } catch (error) {
      if (!error.expected) throw error;
      errors.push(error.message);
      if (error.status === 0) break; // the server is gone: the rest would not work either
    }
  }
  document.body.classList.remove("opening");
  if (wanted.length > 1 && opened.length > 0) startSeries(opened);
  if (errors.length)
    complain(errors.length > 3 ? `${errors.slice(0, 3).join(" ")} And ${errors.length - 3} more.` : errors.join(" "));
}

async function showFirst(photo) {
  await show(photo);
  $("#stage").focus({ preventScroll: true });
  say(`${photo.name} is open, ${photo.versions[0].width} by ${photo.versions[0].height} pixels.`);
}

/** The photos of a folder, without subfolders and without files whose names are not a picture's. */
const ofFolder = (files) =>
  [...files].filter((file) => {
    const extension = /\.[^.]+$/.exec(file.name.toLowerCase())?.[0];
    return state.server.extensions.includes(extension) && file.webkitRelativePath.split("/").length <= 2;
  });

/** A mask from a file, as one more stroke. */
export async function openMask(file) {
  const { photo } = state;
  if (!photo) return;
  const response = await request("POST", `${photoUrl(photo)}/mask?name=${encodeURIComponent(file.name)}`, file);
  const { stroke, warnings } = await response.json();
  await keepFile(photo, `mask/${stroke.mask}`, file);
  commit(stroke);
  photo.outcome = warnings?.length ? { text: "Mask loaded", warnings } : null;
}

export function prepare() {
  const choose = (input, act) => {
    input.addEventListener("change", () => {
      const files = [...input.files];
      input.value = "";
      attempt(() => act(files)).finally(() => document.body.classList.remove("opening"));
    });
    return () => input.click();
  };
  $("#files").accept = $("#mask-file").accept = state.server.extensions.join(",");
  $("#open").onclick = $("#choose").onclick = choose($("#files"), openFiles);
  $("#choose-folder").onclick = choose($("#folder"), (files) => openFiles(ofFolder(files)));
  $("#load-mask").onclick = choose($("#mask-file"), (files) => openMask(files[0]));

  let depth = 0; // elements of the page that the drag is over
  const over = (change) => {
    depth = Math.max(0, depth + change);
    $("#drop").hidden = depth === 0;
  };
  addEventListener("dragenter", (event) => {
    event.preventDefault();
    over(1);
  });
  addEventListener("dragleave", () => over(-1));
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    over(-depth);
    if (event.dataTransfer.files.length) attempt(() => openFiles(event.dataTransfer.files));
    else complain("What was dropped is no file: save the picture first, then drop or paste it.");
  });
  addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (!files.length) return;
    event.preventDefault();
    attempt(() => openFiles(files));
  });
}
