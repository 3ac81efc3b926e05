// The photo's position on the stage: CSS pixels to photo pixels and back, fit, zoom. Knows nothing of elements.

const MOST = 64; // screen pixels a photo pixel

export const NONE = { left: 0, top: 0, right: 0, bottom: 0 };

export class View {
  x = 0; // the photo's top left corner on the stage, CSS pixels
  y = 0;
  scale = 1; // CSS pixels a photo pixel
  fitted = true; // follows the window's size
  stage = { width: 1, height: 1, ratio: 1 }; // CSS pixels; ratio: screen pixels a CSS pixel
  photo = { width: 1, height: 1 };
  frame = NONE; // what is to be added to the photo on each side, photo pixels; a fitted view shows it too
  inset = { left: 0, top: 0, right: 0, bottom: 0 }; // what bars cover

  /** Screen pixels a photo pixel: 1 is 100 %. */
  get zoom() {
    return this.scale * this.stage.ratio;
  }

  /** The photo's top left corner in screen pixels, whole ones so that pixels stay sharp. */
  get origin() {
    return [Math.round(this.x * this.stage.ratio), Math.round(this.y * this.stage.ratio)];
  }

  /** From a position on the stage to one in the photo; the middle of the screen pixel counts. */
  toPhoto([x, y]) {
    const half = 0.5 / this.stage.ratio;
    const [left, top] = this.origin.map((value) => value / this.stage.ratio);
    return [(x + half - left) / this.scale, (y + half - top) / this.scale];
  }

  toStage([x, y]) {
    const [left, top] = this.origin.map((value) => value / this.stage.ratio);
    return [left + x * this.scale, top + y * this.scale];
  }

  get fitScale() {
    const { left, top, right, bottom } = this.inset;
    const [width, height] = [this.stage.width - left - right, this.stage.height - top - bottom];
    const { frame, photo } = this;
    const [across, down] = [photo.width + frame.left + frame.right, photo.height + frame.top + frame.bottom];
    return Math.max(Math.min(width / across, height / down, 8 / this.stage.ratio), 1e-3);
  }

  fit() {
    const { left, top, right, bottom } = this.inset;
    this.scale = this.fitScale;
    const { frame, photo, stage } = this;
    this.x = (left + stage.width - right - (photo.width + frame.right - frame.left) * this.scale) / 2;
    this.y = (top + stage.height - bottom - (photo.height + frame.bottom - frame.top) * this.scale) / 2;
    this.fitted = true;
  }

  /** The middle of the area that no bar covers. */
  get middle() {
    const { left, top, right, bottom } = this.inset;
    return [(left + this.stage.width - right) / 2, (top + this.stage.height - bottom) / 2];
  }

  /** Zoom to this many screen pixels a photo pixel; the point at `at` (CSS pixels) stays there. */
  zoomTo(zoom, at = this.middle) {
    const least = Math.min(this.fitScale * this.stage.ratio, 1) / 2;
    const scale = Math.min(MOST, Math.max(least, zoom)) / this.stage.ratio;
    this.x = at[0] - ((at[0] - this.x) * scale) / this.scale;
    this.y = at[1] - ((at[1] - this.y) * scale) / this.scale;
    this.scale = scale;
    this.fitted = false;
    this.hold();
  }

  /** Move so that a position in the photo is in the middle. */
  centre(place) {
    const [x, y] = this.toStage(place);
    const [toX, toY] = this.middle;
    this.pan(toX - x, toY - y);
  }

  /** Move so that a position in the photo is in sight, with some room round it. Returns whether anything moved. */
  reveal(place) {
    const { left, top, right, bottom } = this.inset;
    const [x, y] = this.toStage(place);
    const room = 40;
    const far = (at, low, high) => (at < low ? low - at : at > high ? high - at : 0);
    const dx = far(x, left + room, this.stage.width - right - room);
    const dy = far(y, top + room, this.stage.height - bottom - room);
    if (this.fitted || (!dx && !dy)) return false;
    this.pan(dx, dy);
    return true;
  }

  pan(x, y) {
    this.x += x;
    this.y += y;
    this.fitted = false;
    this.hold();
  }

  /** Keep some of the photo in sight. */
  hold() {
    const { left, top, right, bottom } = this.inset;
    const keep = 60;
    const [width, height] = [this.photo.width * this.scale, this.photo.height * this.scale];
    this.x = Math.min(this.stage.width - right - keep, Math.max(left + keep - width, this.x));
    this.y = Math.min(this.stage.height - bottom - keep, Math.max(top + keep - height, this.y));
  }

  get state() {
    const { x, y, scale, fitted } = this;
    return { x, y, scale, fitted };
  }

  /** Go back to an earlier `state`. Fit the photo if there is none, or if the photo was fitted. */
  restore(state) {
    if (!state || state.fitted) return this.fit();
    Object.assign(this, state);
    return this.hold();
  }

  /** The photo pixels in sight: left, top, width, height. */
  get visible() {
    const [x, y] = this.origin;
    const left = Math.max(0, Math.floor(-x / this.zoom));
    const top = Math.max(0, Math.floor(-y / this.zoom));
    const right = Math.min(this.photo.width, Math.ceil((this.stage.width * this.stage.ratio - x) / this.zoom));
    const bottom = Math.min(this.photo.height, Math.ceil((this.stage.height * this.stage.ratio - y) / this.zoom));
    return { left, top, width: Math.max(0, right - left), height: Math.max(0, bottom - top) };
  }
}
