// What a run would replace: the mask as it grows, shown while a key is held.

import { photoUrl } from "./api.js";
import { compare, MARKS, redraw } from "./stage.js";
import * as settings from "./settings.js";
import { state } from "./state.js";
import { flush, painted } from "./strokes.js";

const MOST = 2048; // pixels a side, enough for a screen
const COLOUR = [64, 200, 255];
let held = false;

/** Show the grown mask, or hide it. */
export async function hold(on) {
  held = on;
  if (!on || !painted()) {
    compare.grown = null;
    return redraw(MARKS);
  }
  const { photo } = state;
  await flush(photo);
  const response = await fetch(`${photoUrl(photo)}/grown?dilate=${settings.values().dilate}`);
  if (!response.ok) return undefined;
  const drawn = await tinted(await response.blob());
  if (held && photo === state.photo) compare.grown = drawn;
  return redraw(MARKS);
}

/** The white of a mask in a colour, the black transparent. */
async function tinted(blob) {
  const whole = await createImageBitmap(blob);
  const scale = Math.min(1, MOST / Math.max(whole.width, whole.height));
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width: Math.ceil(whole.width * scale), height: Math.ceil(whole.height * scale) });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(whole, 0, 0, canvas.width, canvas.height);
  const pixels = context.getImageData(0, 0, canvas.width, canvas.height);
  for (let i = 0; i < pixels.data.length; i += 4) {
    const alpha = pixels.data[i] / 2;
    pixels.data.set([...COLOUR, alpha], i);
  }
  context.putImageData(pixels, 0, 0);
  return canvas;
}
