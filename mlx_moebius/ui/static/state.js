// What the page knows, and how its parts tell each other that something changed.

export const state = {
  server: null, // GET /api/state
  photos: [], // all that are open, in order; `photo` is the one on the stage
  photo: null,
  series: null, // { name, out } when the photos are a series: "run" then queues and goes on to the next
};

const bus = new EventTarget();

export const emit = (name, detail) => bus.dispatchEvent(new CustomEvent(name, { detail }));
export const listen = (name, act) => bus.addEventListener(name, (event) => act(event.detail));

/** The version of a photo with this id; the one shown without. */
export function version(photo = state.photo, id = photo?.current) {
  return photo?.versions.find((each) => each.id === id) ?? null;
}

/** Whether it was made from another version (whose id may be 0), not opened. */
export const isFill = (each) => (each?.made_from ?? null) !== null;

export const byId = (id) => state.photos.find((photo) => photo.id === id) ?? null;
