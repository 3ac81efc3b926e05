// Draws what is proposed: dashed until it is taken.

import { pathOf } from "./outline.js";
import { parts, proposed } from "./proposal.js";

const KEPT = "rgb(255 45 120 / 30%)";
const SHADOW = "rgb(64 200 255 / 30%)";

/** The proposal of a photo: kept parts are tinted, others are only outlined; a dot where one can be clicked. */
export function drawProposal(context, view, photo) {
  if (!proposed(photo)) return;
  const { ratio } = view.stage;
  const [x, y] = view.origin;
  const shadows = photo.proposal.things.map((thing) => thing.shadow);
  context.save();
  context.setTransform(view.zoom, 0, 0, view.zoom, x, y);
  const far = ratio / view.zoom; // a CSS pixel
  for (const part of parts(photo)) {
    const path = pathOf(part);
    context.fillStyle = shadows.includes(part) ? SHADOW : KEPT;
    if (part.kept) context.fill(path);
    context.setLineDash([]);
    context.lineWidth = (part.kept ? 3 : 2) * far;
    context.strokeStyle = part.kept ? "rgb(0 0 0 / 75%)" : "rgb(0 0 0 / 50%)";
    context.stroke(path);
    context.setLineDash([5 * far, (part.kept ? 4 : 7) * far]);
    context.lineWidth = 1.5 * far;
    context.strokeStyle = shadows.includes(part) ? "rgb(150 220 255)" : "white";
    context.stroke(path);
  }
  context.restore();
  for (const thing of photo.proposal.things) if (thing.text === "people") drawDots(context, view, thing.parts);
}

function drawDots(context, view, people) {
  const { ratio } = view.stage;
  for (const { dot, kept } of people) {
    const [x, y] = view.toStage(dot).map((value) => value * ratio);
    context.beginPath();
    context.arc(x, y, 8 * ratio, 0, 2 * Math.PI);
    context.fillStyle = kept ? "rgb(255 45 120)" : "rgb(0 0 0 / 55%)";
    context.fill();
    context.lineWidth = 2 * ratio;
    context.strokeStyle = "white";
    context.stroke();
  }
}
