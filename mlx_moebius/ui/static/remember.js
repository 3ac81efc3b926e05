// Small values that the browser keeps by name. A browser may refuse (in a frame of another site); the page works without.

/** The value kept in `kind` (localStorage or sessionStorage); null if there is none, or none that can be read. */
export function recall(kind, name) {
  try {
    return JSON.parse(window[kind].getItem(name));
  } catch {
    return null;
  }
}

/** Keep a value, if the browser allows it. Undefined removes what was kept. */
export function remember(kind, name, value) {
  try {
    window[kind].removeItem(name);
    if (value !== undefined) window[kind].setItem(name, JSON.stringify(value));
  } catch {
    // nothing is kept
  }
}
