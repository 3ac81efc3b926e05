// What "10%", "left=256,top=10%" or "16:9" adds to a photo, as the server reads it: for the preview of the frame.

const SIDES = ["left", "top", "right", "bottom"];

/** Pixels to add on each side, { left, top, right, bottom }; null for a text that says nothing that can be added. */
export function extensionOf(text, gravity, { width, height }) {
  const sides = text.includes(":") ? toAspect(text, gravity, width, height) : bySides(text.trim(), width, height);
  if (!sides || SIDES.every((side) => sides[side] === 0)) return null;
  const tooFar = sides.left > width || sides.right > width || sides.top > height || sides.bottom > height;
  return tooFar ? null : sides;
}

function toAspect(text, gravity, width, height) {
  const found = /^(\d+):(\d+)$/.exec(text.trim());
  if (!found || !Number(found[1]) || !Number(found[2])) return null;
  const across = Math.max(0, Math.round((height * found[1]) / found[2]) - width);
  const down = Math.max(0, Math.round((width * found[2]) / found[1]) - height);
  const left = gravity === "left" ? 0 : gravity === "right" ? across : Math.floor(across / 2);
  const top = gravity === "top" ? 0 : gravity === "bottom" ? down : Math.floor(down / 2);
  return { left, top, right: across - left, bottom: down - top };
}

function bySides(text, width, height) {
  const sides = { left: 0, top: 0, right: 0, bottom: 0 };
  const parts = /^\d+%?$/.test(text) ? SIDES.map((side) => `${side}=${text}`) : text.split(",");
  for (const part of parts) {
    const found = /^(left|top|right|bottom)=(\d+)(%?)$/.exec(part.trim());
    if (!found) return null;
    const length = found[1] === "left" || found[1] === "right" ? width : height;
    sides[found[1]] = found[3] ? Math.round((length * found[2]) / 100) : Number(found[2]);
  }
  return sides;
}
