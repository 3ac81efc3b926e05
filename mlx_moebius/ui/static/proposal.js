// What is proposed on a photo: outlines that mean nothing until they are taken. Every photo has a proposal of its own.
//
// photo.proposal = { on, things, before }: `on` is the version that it was made for, `before` are earlier `things`, for
// undo. A thing is what was pointed at: { text, strokes, parts, shadow, answer }, `text` and `strokes` as the server
// reads them. Its parts (and its shadow) are { loops, box, dot, kept }. Things are replaced, never changed, but for
// the answer that they wait for.

import { photoUrl, post } from "./api.js";
import { attempt, complain, say } from "./dom.js";
import { strokeOf } from "./outline.js";
import { emit, listen, state } from "./state.js";
import { commit } from "./strokes.js";

const PAUSE = 300; // ms without another stroke, until the shadow is looked for

/** The things that are proposed on a photo. */
export const things = (photo = state.photo) => photo?.proposal?.things ?? [];

/** Whether something is proposed on a photo, or looked for. */
export const proposed = (photo = state.photo) => things(photo).length > 0;

/** Whether an answer is still to come. */
export const waits = (photo = state.photo) => things(photo).some((thing) => thing.answer);

/** All outlines that are proposed, kept or not; shadows too. */
export const parts = (photo = state.photo) =>
  things(photo).flatMap((thing) => [...thing.parts, ...(thing.shadow ? [thing.shadow] : [])]);

/** Put other things in the place of those that are proposed; the step can be undone. */
export function change(next, photo = state.photo) {
  const { on, things: now, before } = photo.proposal ?? { on: photo.current, things: [], before: [] };
  photo.proposal = { on, things: next, before: [...before, now] };
  emit("proposal", photo);
}

/** Propose outlines that are known already, instead of those that had the same name. */
export function suggest(text, found, photo) {
  const parts = found.map((part) => ({ ...part, kept: true }));
  const others = things(photo).filter((thing) => thing.text !== text);
  change([...others, { text, strokes: [], parts, shadow: null, answer: null }], photo);
}

/** Look for a thing, and propose it beside the others, or instead of one of them. */
export function look(wish, instead = null, photo = state.photo) {
  const thing = { strokes: [], parts: [], shadow: null, ...wish };
  change([...things(photo).filter((other) => other !== instead), thing], photo);
  const asked = ask(photo, thing, instead).finally(() => {
    thing.answer = null;
    emit("proposal", photo);
    if (/^(box|lasso|line):/.test(thing.text)) setTimeout(() => attempt(() => findShadow(photo, thing)), PAUSE);
  });
  thing.answer = asked;
  emit("proposal", photo);
  return asked;
}

const request = (photo, wish) => post(`${photoUrl(photo)}/select`, { ...wish, on: photo.proposal.on });

async function ask(photo, thing, instead) {
  const { text, strokes } = thing;
  const selected = text.startsWith("dust") ? [text, text.replace("dust", "hairs")] : [text];
  try {
    const { parts: found } = await request(photo, { selected, strokes });
    if (!things(photo).includes(thing)) return;
    if (found.length === 0) throw Object.assign(new Error("nothing was found there"), { expected: true });
    // Of people, the largest is whom the photo is of.
    thing.parts = found.map((part, index) => ({ ...part, kept: text !== "people" || index > 0 }));
    say("Proposed. Enter takes it, Escape drops it.");
  } catch (error) {
    if (things(photo).includes(thing)) withdraw(photo, thing, instead);
    if (!state.photos.includes(photo)) return; // it has been closed meanwhile
    if (error.expected && photo !== state.photo) error.message = `In ${photo.name}, ${error.message}`;
    throw error;
  }
}

/** Look for the shadow of a thing, unless it has been corrected or taken meanwhile. */
async function findShadow(photo, thing) {
  if (!things(photo).includes(thing) || !state.photos.includes(photo)) return;
  const { shadow } = await request(photo, { selected: [thing.text], strokes: thing.strokes, shadow: true });
  if (!things(photo).includes(thing)) return;
  thing.shadow = shadow && { ...shadow, kept: thing.shadow?.kept ?? false };
  emit("proposal", photo);
}

/** Put back what was there before a thing that was not found. */
function withdraw(photo, thing, instead) {
  const without = (list) => list.flatMap((other) => (other === thing ? (instead ?? []) : other));
  const { on, things: now, before } = photo.proposal;
  photo.proposal = { on, things: without(now), before: before.slice(0, -1).map(without) };
  if (!proposed(photo)) photo.proposal = null;
  emit("proposal", photo);
}

/** Keep parts that were left out, and the other way round. */
export function toggle(chosen, photo = state.photo) {
  const turned = (part) => (chosen.includes(part) ? { ...part, kept: !part.kept } : part);
  const changed = (thing) => {
    if (!chosen.some((part) => part === thing.shadow || thing.parts.includes(part))) return thing;
    const now = { parts: thing.parts.map(turned), shadow: thing.shadow && turned(thing.shadow) };
    return thing.answer ? Object.assign(thing, now) : { ...thing, ...now }; // an answer is for this very thing
  };
  change(things(photo).map(changed), photo);
}

/** Take back the last step of a proposal. Returns whether there was one. */
export function stepBack(photo = state.photo) {
  if (!photo?.proposal) return false;
  const { on, before } = photo.proposal;
  const last = before.at(-1) ?? [];
  photo.proposal = last.length ? { on, things: last, before: before.slice(0, -1) } : null;
  emit("proposal", photo);
  return true;
}

/** Drop a photo's proposal. Returns whether there was one. */
export function drop(photo = state.photo) {
  if (!photo?.proposal) return false;
  photo.proposal = null;
  emit("proposal", photo);
  return true;
}

/** Make one stroke of what is proposed and kept, once all answers are here. Returns whether there was anything. */
export async function take(photo = state.photo) {
  if (!proposed(photo)) return false;
  await Promise.all(things(photo).map((thing) => thing.answer));
  if (!proposed(photo) || !fits(photo)) return false;
  const loops = parts(photo).flatMap((part) => (part.kept ? part.loops : []));
  drop(photo);
  if (loops.length === 0) return false;
  commit(strokeOf(loops), photo);
  say("Taken. It is part of the mask.");
  return true;
}

/** Whether a photo is as it was when the proposal was made. If it is not, drop the proposal and say so. */
function fits(photo) {
  if (!photo.proposal || photo.proposal.on === photo.current) return true;
  drop(photo);
  // Later: the same change takes earlier errors away.
  setTimeout(() => complain("This photo has changed since, so what was proposed on it is dropped: select it again."));
  return false;
}

for (const name of ["photo", "run"]) listen(name, () => state.photo && fits(state.photo));
