// Opens photos that are chosen, dropped or pasted anywhere. Several become a series. A drop never leaves the page.

import { upload } from "./api.js";
import { $, attempt, complain, make, offer, say } from "./dom.js";
import { droppedFiles, ofFolder } from "./dropped.js";
import { openMask, pairs, useMasks } from "./masks.js";
import { addFiles } from "./othershot.js";
import { adopt, show } from "./photos.js";
import { startSeries } from "./series.js";
import { state } from "./state.js";
import { keepPhoto } from "./store.js";

async function openOne(file) {
  const photo = adopt(await upload(file));
  photo.outcome = null;
  await keepPhoto(photo, file).catch((error) => complain(`This photo is not kept for a reload: ${error.message}`));
  return photo;
}

let under = null; // what is being opened: { at, total, name, since, stop }

/** Say what is being opened, with a count, as long as it takes. */
function tell() {
  $("#opening").hidden = !under;
  document.body.classList.toggle("opening", Boolean(under));
  if (!under) return;
  const { at, total, name, since, stop } = under;
  const seconds = Math.floor((performance.now() - since) / 1000);
  const text = total > 1 ? `Opening ${at} of ${total}: ${name}` : `Opening ${name}${seconds ? `, ${seconds} s` : ""}`;
  const bar = make("progress", { max: total, "aria-label": "Opening" });
  if (total > 1) bar.value = at - 1;
  const button = make("button", { type: "button", class: "small", onclick: stop }, "Stop");
  $("#opening").replaceChildren(make("span", {}, text), bar, ...(total > 1 ? [button] : []));
}

/** Say what is being opened as long as an act takes. */
export async function during(name, act) {
  const ticking = setInterval(tell, 500);
  under = { at: 1, total: 1, name, since: performance.now() };
  tell();
  try {
    return await act();
  } finally {
    clearInterval(ticking);
    under = null;
    tell();
  }
}

/** Open files. One is shown at once, several become a series. Masks of photos are offered; files that cannot be read are
 * named. */
export async function openFiles(files) {
  const all = [...files].filter((file) => !file.name.startsWith("."));
  if (all.length === 0) return;
  complain();
  const [opened, errors] = [[], []];
  let [stopped, masks, wanted] = [false, new Map(), all];
  const stop = () => (stopped = true);
  const ticking = setInterval(tell, 500);
  try {
    under = { at: 1, total: all.length, name: all[0].name, since: performance.now(), stop };
    tell(); // at once: the server may be slow
    masks = await pairs(all);
    wanted = all.filter((file) => !masks.has(file));
    for (const [index, file] of wanted.entries()) {
      if (stopped) break;
      under = { at: index + 1, total: wanted.length, name: file.name, since: performance.now(), stop };
      tell();
      try {
        const photo = await openOne(file);
        opened.push(photo);
        if (wanted.length > 1) startSeries([photo]);
        if (opened.length === 1) await showFirst(photo);
      } catch (error) {
        if (!error.expected) throw error;
        errors.push(error.message);
        if (error.status === 0) break; // the server is gone: the rest would not work either
      }
    }
  } finally {
    clearInterval(ticking);
    under = null;
    tell();
  }
  if (wanted.length > 1) say(`${opened.length} of ${wanted.length} photos are open.`);
  if (errors.length)
    complain(errors.length > 3 ? `${errors.slice(0, 3).join(" ")} And ${errors.length - 3} more.` : errors.join(" "));
  offerMasks(masks);
}

/** Offer the masks that were among the files. */
function offerMasks(masks) {
  const found = [...masks].map(([file, name]) => [file, state.photos.findLast((photo) => photo.name === name)]);
  const known = found.filter(([, photo]) => photo);
  if (known.length === 0) return;
  const [[file, photo]] = known;
  const one = known.length === 1;
  offer(one ? `${file.name} is a mask of ${photo.name}.` : `${known.length} files are masks of these photos.`, [
    [one ? "Use it" : "Use them", () => useMasks(known.map(([mask, its]) => [its, () => openMask(mask, its)]))],
    [one ? "Open it as a photo" : "Open them as photos", () => openPhotos(known.map(([mask]) => mask))],
  ]);
}

/** Open files as photos, whatever their names. */
async function openPhotos(files) {
  for (const file of files) {
    const photo = await openOne(file);
    startSeries([...(state.photo && !state.photo.inSeries ? [state.photo] : []), photo]);
    if (files.length === 1) await showFirst(photo);
  }
}

async function showFirst(photo) {
  await show(photo);
  $("#stage").focus({ preventScroll: true });
  say(`${photo.name} is open, ${photo.versions[0].width} by ${photo.versions[0].height} pixels.`);
}

/** A photo that comes with the page. */
async function openExample() {
  const file = await (await fetch("/static/example.jpg")).blob();
  await openFiles([new File([file], "example.jpg", { type: "image/jpeg" })]);
}

export function prepare() {
  $("#try-example").onclick = () => attempt(openExample);
  const choose = (input, act) => {
    input.addEventListener("change", () => {
      const files = [...input.files];
      input.value = "";
      attempt(() => act(files));
    });
    return () => input.click();
  };
  $("#files").accept = $("#mask-file").accept = state.server.extensions.join(",");
  $("#open").onclick = $("#choose").onclick = choose($("#files"), openFiles);
  $("#choose-folder").onclick = choose($("#folder"), (files) => openFiles(ofFolder(files)));
  $("#load-mask").onclick = choose($("#mask-file"), (files) => openMask(files[0], state.photo));

  let depth = 0; // elements of the page that the drag is over
  const over = (change) => {
    depth = Math.max(0, depth + change);
    $("#drop").hidden = depth === 0;
  };
  let own = false; // something of the page is dragged out of it
  addEventListener("dragstart", () => (own = true));
  addEventListener("dragend", () => (own = false));
  addEventListener("dragenter", (event) => {
    event.preventDefault();
    if (!own) over(1);
  });
  addEventListener("dragleave", () => over(-1));
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    over(-depth);
    if (own) return;
    const asShots = event.target.closest?.("#shots");
    const files = droppedFiles(event.dataTransfer); // at once: the browser forgets them after the event
    attempt(async () => {
      const found = await files;
      if (found.length) await (asShots ? addFiles(found) : openFiles(found));
      else complain("What was dropped holds no photo: save the picture first, then drop or paste it.");
    });
  });
  addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (!files.length) return;
    event.preventDefault();
    attempt(() => openFiles(files));
  });
}
