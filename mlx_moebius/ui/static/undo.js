// Undo and redo: steps of a proposal first, then strokes, then the fill below them. Undoing a fill brings back the strokes that it was made from.

import { setCurrent } from "./photos.js";
import { proposed, stepBack } from "./proposal.js";
import { emit, isFill, state, version } from "./state.js";
import { commit, replace, strokesChanged } from "./strokes.js";
import { abandon } from "./tools.js";

export const canUndo = (photo = state.photo) =>
  Boolean(photo?.strokes && (photo.strokes.done.length || proposed(photo) || isFill(version(photo))));

export function canRedo(photo = state.photo) {
  if (!photo?.strokes) return false;
  return photo.strokes.undone.length > 0 || photo.redo.at(-1)?.from === photo.current;
}

let last = Promise.resolve(); // steps are done one after the other, because undoing a fill asks the server

const inTurn = (act) => () => {
  const turn = last.then(act);
  last = turn.catch(() => {});
  return turn;
};

export const undo = inTurn(async () => {
  const { photo } = state;
  if (abandon() || stepBack(photo) || !canUndo()) return;
  const { done, undone } = photo.strokes;
  if (done.length) {
    undone.push(done.pop());
    strokesChanged(photo);
    return;
  }
  const fill = version(photo);
  await setCurrent(photo, fill.made_from);
  photo.redo.push({ from: fill.made_from, to: fill.id, undone });
  replace(photo, fill.strokes ?? []);
});

export const redo = inTurn(async () => {
  const { photo } = state;
  if (!canRedo()) return;
  const { done, undone } = photo.strokes;
  if (undone.length) {
    done.push(undone.pop());
    strokesChanged(photo);
    return;
  }
  const step = photo.redo.at(-1);
  await setCurrent(photo, step.to);
  photo.redo.pop();
  replace(photo, [], step.undone);
});

/** Empty the mask. This can be undone too. */
export function clear() {
  if (state.photo?.strokes?.done.length) commit({ tool: "clear", size: 1, points: [] });
}

/** Go to another version, from the strip; strokes stay as they are. */
export async function choose(photo, id) {
  if (photo.current === id) return;
  await setCurrent(photo, id);
  photo.redo = [];
  emit("strokes", photo);
}
