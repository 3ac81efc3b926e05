// The tool "Select": what is pointed at is proposed. Turns the way that was drawn on the stage into the server's words.

import { $, $$, attempt, complain } from "./dom.js";
import { shapeOf } from "./gesture.js";
import { hits } from "./outline.js";
import * as proposal from "./proposal.js";
import { view } from "./stage.js";
import { emit, listen, state, version } from "./state.js";
import * as tool from "./tools.js";

const { tools } = tool;

/** What can be selected, and how. */
const KINDS = {
  object: { open: "Draw over what is missing", hint: "Drag a box round it, go round it, or draw over it" },
  wire: { open: "Click on more wires; again leaves one out", hint: "Click on a wire, or drag from end to end" },
  dust: { open: "Click on a spot to leave it out", hint: "Looks for specks and hairs in the whole photo" },
  people: { open: "Click on a dot to keep or drop somebody", hint: "Looks for people in the whole photo" },
};
const OBJECT = /^(box|lasso|line):/;
const CLICK = 6; // CSS pixels: what is shorter is a click, what is nearer is hit
const STROKE = 8; // CSS pixels: the width of a stroke that corrects
const AROUND = 0.25; // of an object's longer side: strokes as near correct it, others select something else

let kind = "object";
let taking = false; // strokes take away

/** Switch to the tool; when it is in use, to the next kind. */
export function choose(next) {
  if (next === "people" && missing()) return void complain(missing());
  const names = Object.keys(KINDS).filter((name) => name !== "people" || !missing());
  kind = next ?? (tools.name === "select" ? names[(names.indexOf(kind) + 1) % names.length] : kind);
  tools.boxes = kind === "object";
  if (tools.name !== "select") tool.choose("select");
  if (next === "dust") find(`dust:${$("#dust").value}`);
  if (next === "people") find("people");
  return update();
}

/** Why people cannot be found on this computer; empty if they can. */
const missing = () => state.server.select?.people ?? "";

/** Look for something in all of the photo. */
function find(text) {
  const name = text.split(":")[0];
  const earlier = proposal.things().find((thing) => thing.text.startsWith(name));
  if (state.photo) attempt(() => proposal.look({ text }, earlier));
}

const words = (points) => points.map((place) => place.map((value) => Math.round(value * 10) / 10).join()).join(" ");

/** The server's text for an object round or below these points. */
function objectText(points) {
  const shape = shapeOf(points, 0);
  if (shape !== "box") return `${shape}:${words(points)}`;
  const [[x, y], [x2, y2]] = [points[0], points.at(-1)];
  return `box:${words([
    [Math.min(x, x2), Math.min(y, y2)],
    [Math.abs(x2 - x), Math.abs(y2 - y)],
  ]).replace(" ", ",")}`;
}

/** The objects that a stroke may belong to: it passes them, or their surroundings. */
function near(points) {
  const [xs, ys] = [0, 1].map((axis) => points.map((place) => place[axis]));
  return proposal.things().filter((thing) =>
    thing.parts.some(({ box: [left, top, right, bottom] }) => {
      const room = AROUND * Math.max(right - left, bottom - top);
      const [across, down] = [
        Math.min(...xs) < right + room && Math.max(...xs) > left - room,
        Math.min(...ys) < bottom + room && Math.max(...ys) > top - room,
      ];
      return OBJECT.test(thing.text) && across && down;
    }),
  );
}

/** Something was drawn with the tool. With `erase` it takes away. */
function pointed({ points, erase }) {
  const click = shapeOf(points, CLICK / view.scale) === "click";
  const shown = version();
  if (isOutside(points, shown)) return complain("That is outside the photo: point at something in it.");
  const inside = points.map(([x, y]) => [
    Math.min(shown.width, Math.max(0, x)),
    Math.min(shown.height, Math.max(0, y)),
  ]);
  if (kind !== "object" && click) {
    const hit = proposal.parts().filter((part) => meets(part, points[0]));
    if (hit.length) return proposal.toggle(hit.slice(-1));
  }
  if (kind === "wire") return attempt(() => proposal.look({ text: wireText(click, inside) }));
  if (kind !== "object") return undefined;
  return attempt(() => object(inside, click, erase !== taking));
}

/** Whether a way leaves the photo alone. */
function isOutside(points, { width, height }) {
  const beyond = (axis, most) =>
    points.every((place) => place[axis] <= 0) || points.every((place) => place[axis] >= most);
  return beyond(0, width) || beyond(1, height);
}

const wireText = (click, points) => `wire:${words(click ? [points[0]] : [points[0], points.at(-1)])}`;

/** Whether a click meets a part, or its dot. */
const meets = (part, [x, y]) =>
  hits(part, [x, y], CLICK / view.scale) || Math.hypot(part.dot[0] - x, part.dot[1] - y) * view.scale < 2 * CLICK;

/** Select an object, or correct one. */
function object(points, click, less) {
  const thing = near(points).at(-1);
  if (!thing) return less || click ? undefined : proposal.look({ text: objectText(points) });
  const stroke = { add: !less, points: click ? [points[0]] : points, size: STROKE / view.scale };
  return proposal.look({ ...thing, strokes: [...thing.strokes, stroke] }, thing);
}

/** A shadow that is proposed: keep it too, or not. */
export function toggleShadow() {
  const shadows = proposal.things().flatMap((thing) => thing.shadow ?? []);
  if (shadows.length) proposal.toggle(shadows);
}

/** The wires beside the last one and of its direction: them too, or not. */
export function toggleBeside() {
  const wire = proposal.things().findLast((thing) => /^wires?:/.test(thing.text));
  if (!wire) return undefined;
  const text = wire.text.startsWith("wires") ? wire.text.replace("wires", "wire") : wire.text.replace("wire", "wires");
  return attempt(() => proposal.look({ text }, wire));
}

/** Let strokes take away, or add again. */
export function toggleLess() {
  taking = !taking;
  update();
}

/** Enter: take what is proposed, or with the tool in use, begin a box or end it. Returns whether it did something. */
export function enter() {
  if (tools.name === "select" && (tools.live || !proposal.proposed())) {
    if (!tools.place) tool.walk([0, 0], false);
    if (tools.live || kind !== "object") {
      if (!tools.live) tool.start(tools.place, { corners: true });
      tool.finish();
    } else tool.start(tools.place, { corners: true });
    return true;
  }
  if (!proposal.proposed()) return false;
  attempt(proposal.take);
  return true;
}

function update() {
  const active = tools.name === "select";
  const open = proposal.proposed();
  taking &&= open; // what is drawn next selects something new
  const bar = $("#selecting");
  const hidden = !state.photo || !(active || open);
  if (bar.hidden !== hidden || document.body.classList.contains("pointing") !== active) {
    bar.hidden = hidden;
    document.body.classList.toggle("pointing", active);
    emit("bars");
  }
  if (hidden) return;
  for (const button of $$("[data-kind]", bar)) {
    button.setAttribute("aria-pressed", String(active && button.dataset.kind === kind));
    if (button.dataset.kind === "people" && missing()) {
      button.title = missing();
      button.setAttribute("aria-disabled", "true");
    }
  }
  const all = proposal.things();
  const { hint, open: more } = KINDS[kind];
  const text = proposal.waits() ? "Looking" : open ? more : hint;
  if ($("#select-hint").textContent !== text) $("#select-hint").textContent = text;
  bar.setAttribute("aria-busy", String(proposal.waits()));
  const shadows = all.flatMap((thing) => thing.shadow ?? []);
  $("#select-less").hidden = kind !== "object" || !active || !open;
  $("#select-less").setAttribute("aria-pressed", String(taking));
  $("#select-shadow").hidden = shadows.length === 0;
  $("#select-shadow").setAttribute("aria-pressed", String(shadows.some((part) => part.kept)));
  const wire = all.findLast((thing) => /^wires?:/.test(thing.text));
  $("#select-beside").hidden = !wire;
  $("#select-beside").setAttribute("aria-pressed", String(Boolean(wire?.text.startsWith("wires"))));
  $("#dust-amount").hidden = !active || kind !== "dust";
  $("#select-take").disabled = $("#select-drop").disabled = !open;
}

export function prepare() {
  for (const button of $$("[data-kind]")) button.onclick = () => choose(button.dataset.kind);
  $("#select-take").onclick = () => attempt(proposal.take);
  $("#select-drop").onclick = () => proposal.drop();
  $("#select-less").onclick = toggleLess;
  $("#select-shadow").onclick = toggleShadow;
  $("#select-beside").onclick = toggleBeside;
  $("#dust").addEventListener("change", () => find(`dust:${$("#dust").value}`));
  listen("pointed", pointed);
  for (const name of ["proposal", "photo", "tools"]) listen(name, update);
}
