// Small things that the browser keeps by name. A browser may refuse, as in a frame of another site: the page does without.

/** What was kept in `kind` (localStorage or sessionStorage); null where there is nothing, or nothing that can be read. */
export function recall(kind, name) {
  try {
    return JSON.parse(window[kind].getItem(name));
  } catch {
    return null;
  }
}

/** Keep a value, or, where it cannot be kept, nothing; so does undefined. */
export function remember(kind, name, value) {
  try {
    window[kind].removeItem(name);
    if (value !== undefined) window[kind].setItem(name, JSON.stringify(value));
  } catch {
    // nothing is kept
  }
}
