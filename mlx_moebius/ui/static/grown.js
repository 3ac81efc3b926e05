// What a run would replace: the mask as it grows, outlined, and how far it fades, shown while a key is held.

import { photoUrl } from "./api.js";
import { compare, MARKS, redraw } from "./stage.js";
import * as settings from "./settings.js";
import { state } from "./state.js";
import { flush, painted } from "./strokes.js";

const MOST = 2048; // pixels a side, enough for a screen
const MASK = 228; // values from here on are the mask, reduced ones too; below, the rim
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
  const { dilate, context, model } = settings.values();
  const response = await fetch(`${photoUrl(photo)}/grown?${new URLSearchParams({ dilate, context, model })}`);
  if (!response.ok) return undefined;
  const drawn = await tinted(await response.blob());
  if (held && photo === state.photo) compare.grown = drawn;
  return redraw(MARKS);
}

/** The mask and its rim in a colour, with a white line round the mask; the rest transparent. */
async function tinted(blob) {
  const whole = await createImageBitmap(blob);
  const scale = Math.min(1, MOST / Math.max(whole.width, whole.height));
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width: Math.ceil(whole.width * scale), height: Math.ceil(whole.height * scale) });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(whole, 0, 0, canvas.width, canvas.height);
  const pixels = context.getImageData(0, 0, canvas.width, canvas.height);
  const { width } = canvas;
  const values = Uint8Array.from({ length: pixels.data.length / 4 }, (_, i) => pixels.data[4 * i]);
  for (const [i, value] of values.entries()) {
    const beside = [values[i - 1], values[i + 1], values[i - width], values[i + width]];
    const edge = value >= MASK && beside.some((other) => other < MASK);
    pixels.data.set(edge ? [255, 255, 255, 255] : [...COLOUR, value / 2], 4 * i);
  }
  context.putImageData(pixels, 0, 0);
  return canvas;
}
