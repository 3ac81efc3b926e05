// What is meant by a way that is drawn over the photo: a box from corner to corner, a loop, a line, or a click.

const STRAIGHT = 0.12; // of its length: how far a straight line may bend
const SLOPE = 0.2; // of the longer side: a straight line whose shorter side is less goes along something
const CLOSED = 0.25; // of the way: how far apart the ends of a loop may be

/** What a way means: "box", "lasso", "line", or if it is shorter than `least` photo pixels, "click". */
export function shapeOf(points, least) {
  const [first, last] = [points[0], points.at(-1)];
  const [dx, dy] = [last[0] - first[0], last[1] - first[1]];
  const chord = Math.hypot(dx, dy);
  let [way, bend] = [0, 0];
  for (const [i, [x, y]] of points.entries()) {
    if (i) way += Math.hypot(x - points[i - 1][0], y - points[i - 1][1]);
    if (chord) bend = Math.max(bend, Math.abs((x - first[0]) * dy - (y - first[1]) * dx) / chord);
  }
  if (way < least) return "click";
  if (bend < STRAIGHT * chord) {
    const [short, long] = [Math.abs(dx), Math.abs(dy)].sort((a, b) => a - b);
    return short > SLOPE * long ? "box" : "line";
  }
  return chord < CLOSED * way ? "lasso" : "line";
}

/** What is shown while it is drawn: the box, where `boxes` can be meant and one is, or else the way itself. */
export function shownOf(points, boxes) {
  const [[x, y], [x2, y2]] = [points[0], points.at(-1)];
  if (boxes && shapeOf(points, 0) === "box")
    return [
      [x, y],
      [x2, y],
      [x2, y2],
      [x, y2],
      [x, y],
    ];
  return points;
}
