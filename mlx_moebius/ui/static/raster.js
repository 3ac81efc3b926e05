// Strokes to pixels of the photo, row by row, exactly as the server does it: what is painted is what is filled.

/** The smallest and largest x where the line through row centre `y` lies within `radius` of a segment; null for none. */
function sweep([ax, ay], [bx, by], radius, y) {
  let [low, high] = [Infinity, -Infinity];
  const take = (x) => {
    low = Math.min(low, x);
    high = Math.max(high, x);
  };
  for (const [x, centre] of [
    [ax, ay],
    [bx, by],
  ]) {
    const rest = radius * radius - (y - centre) * (y - centre);
    if (rest < 0) continue;
    take(x - Math.sqrt(rest));
    take(x + Math.sqrt(rest));
  }
  const length = Math.hypot(bx - ax, by - ay);
  if (length > 0) {
    const [nx, ny] = [(-(by - ay) / length) * radius, ((bx - ax) / length) * radius];
    const corners = [
      [ax + nx, ay + ny],
      [bx + nx, by + ny],
      [bx - nx, by - ny],
      [ax - nx, ay - ny],
    ];
    for (let i = 0; i < 4; i++) {
      const [[px, py], [qx, qy]] = [corners[i], corners[(i + 1) % 4]];
      if (py !== qy && Math.min(py, qy) <= y && y <= Math.max(py, qy)) take(px + ((y - py) / (qy - py)) * (qx - px));
    }
  }
  return low <= high ? [low, high] : null;
}

/** The columns, inclusive, that a segment of size 1 passes in row `y`. */
function passed([ax, ay], [bx, by], y) {
  if (ay === by) return [Math.floor(Math.min(ax, bx)), Math.floor(Math.max(ax, bx))];
  const at = (row) => ax + Math.min(1, Math.max(0, (row - ay) / (by - ay))) * (bx - ax);
  const ends = [at(y), at(y + 1)];
  return [Math.floor(Math.min(...ends)), Math.floor(Math.max(...ends))];
}

/** The nearest whole number, halves rounded up, as for all masks. */
const nearest = (value) => Math.floor(value + 0.5);

/** A window of the photo, one byte a pixel: 1 where it is painted. */
export class Raster {
  constructor(left, top, width, height) {
    Object.assign(this, { left, top, width, height });
    this.bits = new Uint8Array(width * height);
  }

  /** Set columns `from` to `to`, inclusive, of row `y`, in the photo's pixels, to `value`. */
  span(y, from, to, value) {
    const row = y - this.top;
    const [start, end] = [Math.max(0, from - this.left), Math.min(this.width - 1, to - this.left)];
    if (row >= 0 && row < this.height && start <= end)
      this.bits.fill(value, row * this.width + start, row * this.width + end + 1);
  }

  segment(a, b, size, value) {
    const radius = size > 1 ? size / 2 : 0;
    const first = Math.max(this.top, Math.floor(Math.min(a[1], b[1]) - radius));
    const last = Math.min(this.top + this.height - 1, Math.floor(Math.max(a[1], b[1]) + radius));
    for (let y = first; y <= last; y++) {
      if (size <= 1) {
        this.span(y, ...passed(a, b, y), value);
      } else {
        const found = sweep(a, b, radius, y + 0.5);
        if (found) this.span(y, Math.ceil(found[0] - 0.5), Math.floor(found[1] - 0.5), value);
      }
    }
  }

  rectangle([ax, ay], [bx, by], value) {
    const [left, top] = [nearest(Math.min(ax, bx)), nearest(Math.min(ay, by))];
    const right = Math.max(left + 1, nearest(Math.max(ax, bx)));
    const bottom = Math.max(top + 1, nearest(Math.max(ay, by)));
    const end = Math.min(bottom, this.top + this.height);
    for (let y = Math.max(top, this.top); y < end; y++) this.span(y, left, right - 1, value);
  }

  /** What a closed line goes round: of each row, the pixels whose centres it has turned round. */
  enclosed(points, value) {
    const crossings = new Map(); // row -> [x, direction]
    for (const [i, [x1, y1]] of points.entries()) {
      const [x2, y2] = points[(i + 1) % points.length];
      const first = Math.max(this.top, Math.ceil(Math.min(y1, y2) - 0.5));
      const after = Math.min(this.top + this.height, Math.ceil(Math.max(y1, y2) - 0.5));
      for (let y = first; y < after; y++) {
        if (!crossings.has(y)) crossings.set(y, []);
        crossings.get(y).push([x1 + (x2 - x1) * ((y + 0.5 - y1) / (y2 - y1)), Math.sign(y2 - y1)]);
      }
    }
    for (const [y, found] of crossings) {
      found.sort((one, other) => one[0] - other[0]);
      let turns = 0;
      for (let i = 0; i + 1 < found.length; i++) {
        turns += found[i][1];
        if (turns) this.span(y, Math.ceil(found[i][0] - 0.5), Math.ceil(found[i + 1][0] - 0.5) - 1, value);
      }
    }
  }

  /** Draw a stroke from point number `from` on; `readMask(stroke, raster)` gives a loaded mask's bytes in the window. */
  draw(stroke, from = 0, readMask = null) {
    const { tool, points, size } = stroke;
    const value = tool.startsWith("erase") ? 0 : 1;
    if (tool === "clear") {
      this.bits.fill(0);
    } else if (tool === "mask") {
      const loaded = readMask?.(stroke, this);
      if (loaded) for (let i = 0; i < loaded.length; i++) this.bits[i] |= loaded[i];
    } else if (tool.endsWith("rect")) {
      this.rectangle(points[0], points[1], value);
    } else if (tool.endsWith("lasso")) {
      this.enclosed(points, value);
    } else if (points.length === 1) {
      this.segment(points[0], points[0], size, value);
    } else {
      for (let i = Math.max(1, from); i < points.length; i++) this.segment(points[i - 1], points[i], size, value);
    }
  }
}
