// What a fill took from other shots, in words.

/** A share in per cent, rounded down, so that only all of it is 100 %. */
export const percent = (share) => `${Math.floor(100 * share)}\u00a0%`;

/** "61 % from a.jpg, 38 % from b.jpg"; empty for a fill that took nothing. */
export const takenText = (made) =>
  (made?.taken ?? [])
    .filter(({ share }) => share > 0)
    .map(({ file, share }) => `${percent(share)} from ${file}`)
    .join(", ");
