// The painting area. Everything is in pixels of the picture shown; the server brings the mask to the photo's size.
// A drawing is the list of what was done, so that undo is exact: the canvas is repainted from it.

const find = (selector) => element.querySelector(selector);
const [stage, sheet, image, canvas, ring, size] = [".stage", ".sheet", "img", "canvas", ".ring", "input"].map(find);
const pen = canvas.getContext("2d", { willReadFrequently: true });
const pointers = new Map(); // fingers or mouse buttons that are down, by id: [x, y] in the stage
let [done, undone] = [[], []];
let stroke = null; // the one being painted
let drag = null; // what moves the photo: the last [x, y, distance of two fingers]
let tool = "brush";
let spaceIsDown = false;
let fitted = true;
let view = { x: 0, y: 0, scale: 1 };
let brush = [0, 0]; // where it is, in the picture

function paint(action, from = 0) {
  if (action.clear) return pen.clearRect(0, 0, canvas.width, canvas.height);
  if (action.mask) return pen.drawImage(action.mask, 0, 0);
  const points = action.points.slice(Math.max(0, from - 1));
  pen.globalCompositeOperation = action.erase ? "destination-out" : "source-over";
  pen.strokeStyle = "#00b7ff";
  pen.lineCap = pen.lineJoin = "round";
  pen.lineWidth = action.size;
  pen.beginPath();
  pen.moveTo(...points[0]);
  for (const [x, y] of points) pen.lineTo(x + 0.01, y);
  pen.stroke();
  pen.globalCompositeOperation = "source-over";
}

function repaint() {
  pen.clearRect(0, 0, canvas.width, canvas.height);
  for (const action of done) paint(action);
  find("[data-do=undo]").disabled = find("[data-do=clear]").disabled = done.length === 0;
  find("[data-do=redo]").disabled = undone.length === 0;
}

function act(action) {
  done.push(action);
  undone = [];
  repaint();
}

function place() {
  sheet.style.transform = `translate(${view.x}px, ${view.y}px) scale(${view.scale})`;
  const width = Number(size.value) * view.scale;
  const [x, y] = [brush[0] * view.scale + view.x, brush[1] * view.scale + view.y];
  ring.style.cssText = `width:${width}px;height:${width}px;transform:translate(${x - width / 2}px,${y - width / 2}px)`;
}

function fit() {
  const [width, height] = [stage.clientWidth, stage.clientHeight];
  if (!width || !image.naturalWidth) return;
  const scale = Math.min(width / image.naturalWidth, height / image.naturalHeight);
  view = { scale, x: (width - image.naturalWidth * scale) / 2, y: (height - image.naturalHeight * scale) / 2 };
  fitted = true;
  place();
}

function zoom(factor, [x, y] = [stage.clientWidth / 2, stage.clientHeight / 2]) {
  const scale = Math.min(32, Math.max(0.02, view.scale * factor));
  const ratio = scale / view.scale;
  view = { scale, x: x - (x - view.x) * ratio, y: y - (y - view.y) * ratio };
  fitted = false;
  place();
}

const inStage = (event) => {
  const box = stage.getBoundingClientRect();
  return [event.clientX - box.left - stage.clientLeft, event.clientY - box.top - stage.clientTop];
};
const inPicture = ([x, y]) => [(x - view.x) / view.scale, (y - view.y) / view.scale];
const newStroke = (point) => ({ erase: tool === "eraser", size: Number(size.value), points: [point] });

function middle() {
  const [[x, y], [x2, y2]] = [[...pointers.values()][0], [...pointers.values()].at(-1)];
  return [(x + x2) / 2, (y + y2) / 2, Math.hypot(x - x2, y - y2)];
}

stage.addEventListener("pointerdown", (event) => {
  stage.focus({ preventScroll: true });
  stage.setPointerCapture(event.pointerId);
  pointers.set(event.pointerId, inStage(event));
  brush = inPicture(inStage(event));
  if (pointers.size > 1 || spaceIsDown || event.button === 1) {
    if (stroke) repaint(); // a second finger: the first did not mean to paint
    stroke = null;
    drag = middle();
  } else if (event.button === 0) {
    stroke = newStroke(brush);
    paint(stroke);
  }
  place();
  event.preventDefault();
});

stage.addEventListener("pointermove", (event) => {
  brush = inPicture(inStage(event));
  if (pointers.has(event.pointerId)) pointers.set(event.pointerId, inStage(event));
  if (drag && pointers.size) {
    const [x, y, distance] = middle();
    if (distance && drag[2]) zoom(distance / drag[2], [x, y]);
    view.x += x - drag[0];
    view.y += y - drag[1];
    fitted = false;
    drag = [x, y, distance];
  } else if (stroke) {
    stroke.points.push(brush);
    paint(stroke, stroke.points.length - 1);
  }
  place();
});

for (const name of ["pointerup", "pointercancel"]) {
  stage.addEventListener(name, (event) => {
    pointers.delete(event.pointerId);
    if (stroke) act(stroke);
    stroke = null;
    drag = drag && pointers.size ? middle() : null;
  });
}

stage.addEventListener("wheel", (event) => {
  zoom(Math.exp(-event.deltaY / 400), inStage(event));
  event.preventDefault();
}, { passive: false });

const commands = {
  brush: () => choose("brush"),
  eraser: () => choose("eraser"),
  undo: () => done.length && (undone.push(done.pop()), repaint()),
  redo: () => undone.length && (done.push(undone.pop()), repaint()),
  clear: () => done.length && act({ clear: true }),
  larger: () => zoom(1.25),
  smaller: () => zoom(0.8),
  fit,
};

function choose(name) {
  tool = name;
  for (const each of ["brush", "eraser"]) find(`[data-do=${each}]`).setAttribute("aria-pressed", each === name);
}

function resize(factor) {
  size.value = Math.round(Number(size.value) * factor + Math.sign(factor - 1));
  place();
}

for (const button of element.querySelectorAll("[data-do]")) button.onclick = () => commands[button.dataset.do]();
size.addEventListener("input", place);

const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
stage.addEventListener("keydown", (event) => {
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const keys = {
    b: commands.brush, e: commands.eraser, "[": () => resize(0.8), "]": () => resize(1.25),
    "+": commands.larger, "=": commands.larger, "-": commands.smaller, 0: fit, d: () => act(newStroke(brush)),
    " ": () => (spaceIsDown = true),
  };
  if (event.ctrlKey || event.metaKey) {
    if (key !== "z") return;
    commands[event.shiftKey ? "redo" : "undo"]();
  } else if (key in arrows) {
    const from = brush;
    const far = Math.max(1, Number(size.value) / 3);
    brush = [0, 1].map((i) => Math.min(canvas[["width", "height"][i]], Math.max(0, from[i] + far * arrows[key][i])));
    if (event.shiftKey) act({ ...newStroke(from), points: [from, brush] });
    place();
  } else if (key in keys) keys[key]();
  else return;
  event.preventDefault();
});
stage.addEventListener("keyup", (event) => event.key === " " && (spaceIsDown = false));
stage.addEventListener("blur", () => (spaceIsDown = false));
new ResizeObserver(() => (fitted ? fit() : place())).observe(stage);

// What the page calls.
window.moebius = {
  // Show a picture (a data URL) and forget what was painted.
  async load(url) {
    if (!url) return;
    image.src = url;
    await image.decode();
    [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
    sheet.style.width = `${canvas.width}px`;
    sheet.style.height = `${canvas.height}px`;
    size.max = Math.round(Math.max(canvas.width, canvas.height) / 4);
    size.value = Math.round(Math.max(canvas.width, canvas.height) / 24);
    brush = [canvas.width / 2, canvas.height / 2];
    [done, undone] = [[], []];
    repaint();
    fit();
    element.dataset.ready = url.length;
  },
  // Replace what is painted by a black and white picture (a data URL).
  async loadMask(url) {
    if (!url) return;
    const picture = new Image();
    picture.src = url;
    await picture.decode();
    const mask = Object.assign(document.createElement("canvas"), { width: canvas.width, height: canvas.height });
    const context = mask.getContext("2d");
    context.drawImage(picture, 0, 0);
    const pixels = context.getImageData(0, 0, mask.width, mask.height);
    for (let i = 0; i < pixels.data.length; i += 4) pixels.data.set([0, 183, 255, pixels.data[i]], i);
    context.putImageData(pixels, 0, 0);
    if (done.length) done.push({ clear: true });
    act({ mask });
  },
  // What is painted, as a black and white PNG (a data URL); empty when nothing is.
  mask() {
    const pixels = pen.getImageData(0, 0, canvas.width, canvas.height);
    let painted = false;
    for (let i = 0; i < pixels.data.length; i += 4) {
      const on = pixels.data[i + 3] >= 128 ? 255 : 0;
      painted ||= on > 0;
      pixels.data.set([on, on, on, 255], i);
    }
    if (!painted) return "";
    const copy = Object.assign(document.createElement("canvas"), { width: canvas.width, height: canvas.height });
    copy.getContext("2d").putImageData(pixels, 0, 0);
    return copy.toDataURL("image/png");
  },
};
repaint();
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) document.querySelector("#run")?.click();
});
