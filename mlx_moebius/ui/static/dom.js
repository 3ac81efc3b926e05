// Small helpers for elements.

export const $ = (selector, root = document) => root.querySelector(selector);
export const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

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

/** Show one sentence under Run, or none without a text. `action` {label, act} adds a button. */
export function complain(text = "", action = null) {
  const place = $("#error");
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

/** Call a function, and show its error under Run. */
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
