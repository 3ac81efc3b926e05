// Pictures of any size in tiles of 512 pixels. Tiles that are needed are fetched, those nearest to the middle first.

const SIDE = 512;
const KEPT = 240; // tiles in memory
const AT_ONCE = 4; // requests

const cache = new Map(); // address -> ImageBitmap, oldest use first
const loading = new Map(); // address -> AbortController
const failed = new Set();
const layers = new Map(); // name of what is drawn -> the tiles that it misses: address -> distance from the middle
let wanted = new Map(); // the missing tiles of the layer that is being drawn
let changed = () => {};

/** Called with a tile's address when the tile arrives, and with nothing when failed ones are to be asked for again. */
export const whenLoaded = (act) => (changed = act);

/** A picture in tiles: `root` + /level/x/y are their addresses. */
export const source = (root, width, height) => ({ root, width, height });

const levels = (size) => Math.max(0, Math.ceil(Math.log2(Math.max(size.width, size.height) / SIDE)));

function use(address) {
  const bitmap = cache.get(address);
  if (!bitmap) return null;
  cache.delete(address);
  cache.set(address, bitmap);
  return bitmap;
}

/** Begin to draw a layer: forget which tiles it missed. */
export const begin = (layer) => layers.set(layer, (wanted = new Map()));

const allWanted = () => new Map([...layers.values()].flatMap((layer) => [...layer]));

/** Fetch the tiles that layers miss, and nothing else. */
export function fetchWanted() {
  const all = allWanted();
  for (const [address, controller] of loading) if (!all.has(address)) controller.abort();
  const missing = [...all].filter(([address]) => !cache.has(address) && !loading.has(address) && !failed.has(address));
  missing.sort((a, b) => a[1] - b[1]);
  for (const [address] of missing.slice(0, Math.max(0, AT_ONCE - loading.size))) load(address);
}

async function load(address) {
  const controller = new AbortController();
  loading.set(address, controller);
  try {
    const response = await fetch(address, { signal: controller.signal });
    if (!response.ok) throw new Error(String(response.status));
    const bitmap = await createImageBitmap(await response.blob());
    cache.set(address, bitmap);
    for (const old of cache.keys()) {
      if (cache.size <= KEPT) break;
      cache.get(old).close();
      cache.delete(old);
    }
  } catch (error) {
    if (error.name !== "AbortError") failed.add(address);
  } finally {
    loading.delete(address);
    changed(address);
  }
}

/** Ask again for tiles that failed, when the server is back. */
export function retry() {
  failed.clear();
  changed();
}

/** Whether every tile that is needed has arrived or failed. */
export const complete = () => [...allWanted().keys()].every((address) => cache.has(address) || failed.has(address));

/** Fetch one tile at once. */
export async function one(address) {
  const bitmap = use(address);
  if (bitmap) return bitmap;
  const response = await fetch(address);
  if (!response.ok) throw new Error(`a tile is missing (${response.status})`);
  const fresh = await createImageBitmap(await response.blob());
  cache.set(address, fresh);
  return fresh;
}

/** Fetch what a picture needs at a zoom, before it is shown. */
export async function ahead(picture, zoom) {
  const level = Math.min(levels(picture), Math.max(0, Math.floor(Math.log2(1 / zoom) + 1e-6)));
  const count = (size) => Math.ceil(Math.ceil(size / 2 ** level) / SIDE);
  for (let row = 0; row < count(picture.height); row++) {
    for (let column = 0; column < count(picture.width); column++)
      await one(`${picture.root}/${level}/${column}/${row}`);
  }
}

/** Draw a picture into a context of `width` x `height` pixels: its corner at `x`, `y`, `zoom` pixels a photo pixel.
 * Where a tile is missing, `before` (the version shown until now) or a coarser tile is drawn. */
export function draw(context, picture, { zoom, x, y, width, height }, before = null) {
  const top = levels(picture);
  const level = Math.min(top, Math.max(0, Math.floor(Math.log2(1 / zoom) + 1e-6)));
  context.imageSmoothingEnabled = zoom < 2;
  context.imageSmoothingQuality = "high";
  const step = SIDE * 2 ** level; // photo pixels a tile
  const last = (size) => Math.ceil(Math.ceil(size / 2 ** level) / SIDE) - 1;
  const range = (from, to, size) => [
    Math.max(0, Math.floor(from / zoom / step)),
    Math.min(last(size), Math.floor(to / zoom / step)),
  ];
  const [left, right] = range(-x, width - 1 - x, picture.width);
  const [upper, lower] = range(-y, height - 1 - y, picture.height);
  for (let row = upper; row <= lower; row++) {
    for (let column = left; column <= right; column++) {
      const address = `${picture.root}/${level}/${column}/${row}`;
      const bitmap = use(address);
      const [fromX, fromY] = [Math.round(x + column * step * zoom), Math.round(y + row * step * zoom)];
      const toX = Math.round(x + Math.min(picture.width, (column + 1) * step) * zoom);
      const toY = Math.round(y + Math.min(picture.height, (row + 1) * step) * zoom);
      if (!bitmap) {
        wanted.set(address, Math.hypot((fromX + toX - width) / 2, (fromY + toY - height) / 2));
        standIn(context, picture, before, { level, top, column, row, step }, [fromX, fromY, toX - fromX, toY - fromY]);
      } else context.drawImage(bitmap, fromX, fromY, toX - fromX, toY - fromY);
    }
  }
  if (level < top && !cache.has(`${picture.root}/${top}/0/0`)) wanted.set(`${picture.root}/${top}/0/0`, -1);
}

function standIn(context, picture, before, { level, top, column, row, step }, place) {
  const same = before && before.width === picture.width && before.height === picture.height;
  const old = same ? use(`${before.root}/${level}/${column}/${row}`) : null;
  if (old) return context.drawImage(old, ...place);
  for (const layer of same ? [before, picture] : [picture]) {
    for (let coarse = level + 1; coarse <= top; coarse++) {
      const factor = 2 ** coarse;
      const [x, y] = [Math.floor((column * step) / factor / SIDE), Math.floor((row * step) / factor / SIDE)];
      const bitmap = use(`${layer.root}/${coarse}/${x}/${y}`);
      if (!bitmap) continue;
      const from = [(column * step) / factor - x * SIDE, (row * step) / factor - y * SIDE];
      const right = Math.min(picture.width, (column + 1) * step) / factor - x * SIDE;
      const bottom = Math.min(picture.height, (row + 1) * step) / factor - y * SIDE;
      return context.drawImage(bitmap, ...from, right - from[0], bottom - from[1], ...place);
    }
  }
  return undefined;
}
