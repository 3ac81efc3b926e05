// Outlines of what is proposed: closed lines in photo pixels, round areas, and the other way round holes in them.

const paths = new WeakMap(); // part -> Path2D
const hidden = document.createElement("canvas").getContext("2d");

/** A stroke that fills all that these loops go round. Between two loops its line goes there and back along rows and
 * columns, which encloses nothing. */
export function strokeOf([first, ...others]) {
  const start = first[0];
  const points = [...first, start];
  for (const loop of others) {
    const corner = [loop[0][0], start[1]];
    points.push(corner, ...loop, loop[0], corner, start);
  }
  return { tool: "lasso", size: 1, points };
}

/** The outline of a part as a path in photo pixels. */
export function pathOf(part) {
  if (!paths.has(part)) {
    const path = new Path2D();
    for (const loop of part.loops) {
      path.moveTo(...loop[0]);
      for (const point of loop.slice(1)) path.lineTo(...point);
      path.closePath();
    }
    paths.set(part, path);
  }
  return paths.get(part);
}

/** Whether a place is in a part, or within `near` photo pixels of its outline. */
export function hits(part, [x, y], near) {
  hidden.lineWidth = 2 * near;
  return hidden.isPointInPath(pathOf(part), x, y) || hidden.isPointInStroke(pathOf(part), x, y);
}
