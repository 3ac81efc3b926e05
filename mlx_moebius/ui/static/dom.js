// Small helpers for elements, and the messages that the page shows.

import { listen, state } from "./state.js";

export const $ = (selector, root = document) => root.querySelector(selector);
export const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

export const mac = /Mac|iP(hone|ad)/.test(navigator.platform);
export const MOD = mac ? "⌘" : "Ctrl";

/** A new element. `class` and names with a dash are set as attributes, others as properties; then come its children. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "class" || name === "role" || name.includes("-")) element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children);
  return element;
}

/** One of the icons in index.html. */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `#i-${name}`);
  svg.setAttribute("aria-hidden", "true");
  svg.append(use);
  return svg;
}

/** Let a screen reader read a text when it is idle. Progress is read too, but not every step. */
export function say(text) {
  const region = $("#live");
  if (region.textContent !== text) region.textContent = text;
}

let about = null; // the photo that was shown when the message came

/** Show one sentence as an error, or none without a text. `action` {label, act} adds a button. It goes when its cause may
 * be gone: another photo is shown, what is painted or set changes, the server is back. */
export function complain(text = "", action = null) {
  const place = $("#error");
  about = state.photo;
  const start = /^[a-z]+[ ,:]/.test(text) ? text.charAt(0).toUpperCase() + text.slice(1) : text; // names stay as they are
  const sentence = /[.!?]$/.test(start) || !start ? start : `${start}.`;
  place.replaceChildren(sentence);
  if (action) {
    const onclick = () => {
      complain();
      action.act();
    };
    const button = make("button", { type: "button", class: "link", onclick }, action.label);
    place.append(" ", button);
  }
  place.hidden = !text;
}

listen("photo", (photo) => photo !== about && complain());
listen("strokes", (photo) => photo === about && complain());
for (const name of ["settings", "server-back"]) listen(name, () => complain());

const LASTS = 30_000; // ms for which something can be taken back
let over = null; // { timer, act } of the notice that is shown

/** Say something, with buttons [label, act] for what can be done about it. */
export function offer(text, choices) {
  endNotice();
  const buttons = choices.map(([label, act]) => {
    const onclick = () => {
      over.act = null;
      endNotice();
      attempt(act);
    };
    return make("button", { type: "button", class: "link", onclick }, label);
  });
  $("#notice").replaceChildren(text, ...buttons);
  $("#notice").hidden = false;
  over = { act: null, timer: 0 };
}

/** Say what was done, with a button that takes it back; `gone` is called when the notice goes without that. */
export function offerBack(text, act, gone) {
  offer(text, [["Undo", act]]);
  over = { act: gone, timer: setTimeout(endNotice, LASTS) };
}

/** Take the notice away. */
export function endNotice() {
  if (!over) return;
  const { timer, act } = over;
  over = null;
  clearTimeout(timer);
  $("#notice").hidden = true;
  act?.();
}

/** Call a function, and show its error. */
export async function attempt(act) {
  try {
    return await act();
  } catch (error) {
    if (!error.expected) console.error(error);
    complain(error.expected ? error.message : `Something went wrong on the page: ${error.message}`);
    return undefined;
  }
}

/** Whether the element with the focus is a field that takes keys. */
export function inTextField(target = document.activeElement) {
  if (!(target instanceof HTMLElement)) return false;
  return (
    target.isContentEditable ||
    target.matches("textarea, select, input:not([type=checkbox], [type=radio], [type=range])")
  );
}

/** Hand a file to the browser's downloads. */
export function save(blob, name) {
  const url = URL.createObjectURL(blob);
  make("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
