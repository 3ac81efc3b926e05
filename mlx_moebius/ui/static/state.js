// The state of the page, and events by which its parts tell each other of changes.

export const state = {
  server: null, // GET /api/state
  photos: [], // all that are open, in order; `photo` is the one on the stage
  photo: null,
  series: null, // { name, out } when the photos are a series: Run then queues a photo and shows the next
};

const bus = new EventTarget();

export const emit = (name, detail) => bus.dispatchEvent(new CustomEvent(name, { detail }));
export const listen = (name, act) => bus.addEventListener(name, (event) => act(event.detail));

/** The version of a photo with this id; without an id, the version shown. */
export function version(photo = state.photo, id = photo?.current) {
  return photo?.versions.find((candidate) => candidate.id === id) ?? null;
}

/** Whether a version was made from another one (whose id may be 0), not opened. */
export const isFill = (version) => (version?.made_from ?? null) !== null;

/** The version as it was opened that another one comes from, and where its corner lies in that one: { original, offset }. */
export function originalOf(photo, made) {
  const offset = [0, 0];
  let original = made;
  while (isFill(original)) {
    const [x, y] = original.offset ?? [0, 0];
    offset[0] += x;
    offset[1] += y;
    original = version(photo, original.made_from) ?? photo.versions[0];
  }
  return { original, offset };
}

export const byId = (id) => state.photos.find((photo) => photo.id === id) ?? null;
