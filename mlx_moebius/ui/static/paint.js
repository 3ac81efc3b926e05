// Draws what is painted over the photo: at 100 % and above the exact pixels to fill, below that smooth lines.

import { photoUrl } from "./api.js";
import { Raster } from "./raster.js";
import * as tiles from "./tiles.js";

const COLOUR = [255, 45, 120];
const CSS = `rgb(${COLOUR.join(" ")})`;
const sheet = () => document.createElement("canvas").getContext("2d", { willReadFrequently: false });

/** One list of strokes on a separate canvas, repainted only when the list or the view changes. */
class Layer {
  constructor(name) {
    this.name = name;
    this.context = sheet();
    this.scratch = sheet();
    this.key = "";
  }

  /** Update the canvas. `live` is the stroke that is being painted; only its new points are drawn. */
  update(view, photo, picture, strokes, live, revision) {
    const { left, top, width, height } = view.visible;
    const key = [
      photo.id,
      picture.width,
      picture.height,
      revision,
      view.zoom,
      ...view.origin,
      left,
      top,
      width,
      height,
      view.stage.width,
      view.stage.height,
    ].join();
    if (key !== this.key || (this.live && this.live !== live)) {
      Object.assign(this, { key, live: null, drawn: 0, exact: view.zoom >= 1 });
      tiles.begin(this.name);
      if (this.exact) this.repaintExactly(view, photo, picture, strokes);
      else this.repaintSmoothly(view, photo, picture, strokes);
    }
    if (live && (live !== this.live || live.points.length > this.drawn)) {
      if (this.exact) this.show(this.raster.draw(live, this.drawn));
      else this.stroke(view, live, this.drawn);
      Object.assign(this, { live, drawn: live.points.length });
    }
  }

  repaintExactly(view, photo, picture, strokes) {
    const { left, top, width, height } = view.visible;
    this.size(Math.max(1, width), Math.max(1, height));
    this.raster = new Raster(left, top, this.context.canvas.width, this.context.canvas.height);
    for (const stroke of strokes)
      this.raster.draw(stroke, 0, (mask, raster) => this.readMask(photo, picture, mask, raster));
    this.show();
  }

  /** Bytes of a loaded mask in the raster's window. */
  readMask(photo, picture, stroke, { left, top, width, height }) {
    Object.assign(this.scratch.canvas, { width, height });
    tiles.draw(this.scratch, maskSource(photo, picture, stroke), { zoom: 1, x: -left, y: -top, width, height });
    const pixels = this.scratch.getImageData(0, 0, width, height).data;
    return Uint8Array.from({ length: width * height }, (_, i) => (pixels[4 * i + 3] >= 128 ? 1 : 0));
  }

  show() {
    const { bits, width, height } = this.raster;
    const pixels = new Uint32Array(width * height);
    const [red, green, blue] = COLOUR;
    const colour = new Uint32Array(new Uint8Array([red, green, blue, 255]).buffer)[0];
    for (let i = 0; i < bits.length; i++) if (bits[i]) pixels[i] = colour;
    this.context.putImageData(new ImageData(new Uint8ClampedArray(pixels.buffer), width, height), 0, 0);
  }

  repaintSmoothly(view, photo, picture, strokes) {
    const { width, height, ratio } = view.stage;
    this.size(Math.round(width * ratio), Math.round(height * ratio));
    for (const stroke of strokes) {
      if (stroke.tool === "mask") this.drawMask(view, photo, picture, stroke);
      else this.stroke(view, stroke, 0);
    }
  }

  drawMask(view, photo, picture, stroke) {
    const { canvas } = this.context;
    Object.assign(this.scratch.canvas, { width: canvas.width, height: canvas.height });
    const [x, y] = view.origin;
    tiles.draw(this.scratch, maskSource(photo, picture, stroke), { zoom: view.zoom, x, y, ...sizeOf(canvas) });
    this.scratch.globalCompositeOperation = "source-in";
    this.scratch.fillStyle = CSS;
    this.scratch.fillRect(0, 0, canvas.width, canvas.height);
    this.context.drawImage(this.scratch.canvas, 0, 0);
  }

  /** A stroke from its point number `from` on, as a line; never thinner than the screen can show. */
  stroke(view, { tool, points, size }, from) {
    const { context } = this;
    const { width, height } = context.canvas;
    if (tool === "clear") return context.clearRect(0, 0, width, height);
    if (tool === "from") return undefined;
    const [x, y] = view.origin;
    const place = ([px, py]) => [x + px * view.zoom, y + py * view.zoom];
    context.globalCompositeOperation = tool.startsWith("erase") ? "destination-out" : "source-over";
    context.fillStyle = context.strokeStyle = CSS;
    if (tool.endsWith("rect")) {
      const [[left, top], [right, bottom]] = points.map(place);
      context.fillRect(
        Math.min(left, right),
        Math.min(top, bottom),
        Math.max(1, Math.abs(right - left)),
        Math.max(1, Math.abs(bottom - top)),
      );
    } else if (tool.endsWith("lasso")) {
      context.beginPath();
      for (const point of points.map(place)) context.lineTo(...point);
      context.fill();
    } else {
      context.lineCap = context.lineJoin = "round";
      context.lineWidth = Math.max(1, size * view.zoom);
      context.beginPath();
      const [first, ...rest] = points.slice(Math.max(0, from - 1)).map(place);
      context.moveTo(...first);
      if (rest.length === 0) context.lineTo(first[0] + 0.01, first[1]);
      for (const point of rest) context.lineTo(...point);
      context.stroke();
    }
    context.globalCompositeOperation = "source-over";
    return undefined;
  }

  size(width, height) {
    Object.assign(this.context.canvas, { width, height }); // this empties the canvas too
  }

  /** Copy the canvas to the stage. */
  copyTo(context, view, alpha) {
    context.save();
    context.beginPath();
    context.rect(...view.origin, Math.round(view.photo.width * view.zoom), Math.round(view.photo.height * view.zoom));
    context.clip();
    context.globalAlpha = alpha;
    const { canvas } = this.context;
    if (this.exact) {
      const { left, top, width, height } = view.visible;
      const [x, y] = view.origin;
      context.imageSmoothingEnabled = false;
      const from = [Math.round(x + left * view.zoom), Math.round(y + top * view.zoom)];
      const to = [Math.round(x + (left + width) * view.zoom), Math.round(y + (top + height) * view.zoom)];
      context.drawImage(canvas, ...from, to[0] - from[0], to[1] - from[1]);
    } else context.drawImage(canvas, 0, 0);
    context.restore();
  }
}

const sizeOf = ({ width, height }) => ({ width, height });
const maskSource = (photo, picture, stroke) =>
  tiles.source(`${photoUrl(photo)}/masks/${stroke.mask}/tiles`, picture.width, picture.height);

const [now, taken] = [new Layer("painted"), new Layer("taken")];

/** Draw what is painted, and paler what a run has taken. */
export function drawPaint(context, view, photo, picture, live, runs) {
  const strokes = runs.flatMap((run) => run.strokes);
  if (strokes.length) {
    taken.update(view, photo, picture, strokes, null, runs.map((run) => run.id).join("+"));
    taken.copyTo(context, view, 0.28);
  }
  now.update(view, photo, picture, photo.strokes.done, live, photo.revision ?? 0);
  now.copyTo(context, view, 0.55);
}

/** Loaded masks have arrived: their layers have to be drawn again. */
export function repaint() {
  now.key = taken.key = "";
}

/** The colour of paint, for previews. */
export const paintColour = CSS;
