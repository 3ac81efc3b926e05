// All keys, in one table; `?` shows it. They work everywhere but in text fields.

import { carry } from "./carry.js";
import * as choice from "./choice.js";
import { $, $$, attempt, complain, inTextField, MOD, mac, make } from "./dom.js";
import * as grown from "./grown.js";
import { primary } from "./primary.js";
import * as proposal from "./proposal.js";
import * as review from "./review.js";
import * as runs from "./runs.js";
import * as select from "./select.js";
import * as series from "./series.js";
import * as settings from "./settings.js";
import { MARKS, outlineFill, pointers, redraw, view } from "./stage.js";
import { state } from "./state.js";
import { nudge } from "./strokes.js";
import * as tools from "./tools.js";
import { redo, undo } from "./undo.js";
import { hold, saveFile, toggleDivider } from "./versions.js";

const zoom = (act) => () => {
  if (!state.photo) return;
  act();
  redraw();
};
const inStage = () => document.activeElement === $("#stage");
const onStage = (act) => (event) => {
  if (!inStage() || !state.photo) return false;
  act(event);
  return true;
};
const walk = (x, y) =>
  onStage((event) => {
    tools.walk([x, y], event.shiftKey);
    if (view.reveal(tools.tools.place)) redraw();
  });
const dab = onStage(() => tools.dab());
const PAN = 80; // CSS pixels
const pan = (x, y) => zoom(() => view.pan(-x * PAN, -y * PAN));

/** What the large button does. */
export function run() {
  const { act, why } = primary();
  return why ? complain(why) : act();
}

/** Close what is open; if nothing is, end the stroke being drawn, then drop what is proposed; then end the run of the photo shown. */
function leave() {
  if (settings.foldAll()) {
    $("#stage").focus({ preventScroll: true });
    return;
  }
  if (choice.dismiss() || tools.abandon() || proposal.drop() || review.leave()) return;
  const running = runs.ofShown();
  if (running) runs.cancel(running);
  else complain();
}

// [section, keys as shown, what they do, [keys as events name them], action]; an action that returns false did nothing.
const TABLE = [
  ["Remove", `${MOD} Enter`, "Remove; in a series queue and show the next", ["Mod+Enter"], () => attempt(run)],
  ["Remove", "Esc", "Close what is open; end a stroke; cancel this photo's run", ["Escape"], leave],
  [
    "Remove",
    "T",
    "Try again, with another result",
    ["t"],
    () => attempt(() => $("#another").disabled || runs.again(1)),
  ],
  ["Remove", "F", "Four at once, to choose from", ["f"], () => attempt(() => $("#four").disabled || runs.again(4))],
  ["Remove", "U", "Use another shot: take what it shows", ["u"], () => $("#shots-open").click()],
  ["Remove", "1 to 8", "Choose, when there are several", [], null],
  ["Remove", `${MOD} S`, "Download", ["Mod+s"], () => attempt(saveFile)],
  ["Paint", "B", "Brush", ["b"], () => tools.choose("brush")],
  ["Paint", "E", "Eraser; also the right button", ["e"], () => tools.choose("eraser")],
  ["Paint", "L", "Straight line", ["l"], () => tools.choose("line")],
  ["Paint", "A", "Lasso: go round what should go", ["a"], () => tools.choose("lasso")],
  ["Paint", "R", "Rectangle", ["r"], () => tools.choose("rect")],
  ["Paint", "[  ]", "Smaller, larger; also Alt and drag or wheel", ["["], () => tools.step(-1)],
  ["Paint", "", "", ["]"], () => tools.step(1)],
  ["Paint", "Shift click", "Straight line from the last point", [], null],
  ["Paint", `${MOD} Z`, "Undo, fills too", ["Mod+z"], () => attempt(undo)],
  ["Paint", `${MOD} Shift Z`, "Redo", ["Mod+Shift+z", "Mod+y"], () => attempt(redo)],
  ["Paint", "Arrows", "Move the brush; with Shift paint", ["ArrowLeft", "Shift+ArrowLeft"], walk(-1, 0)],
  ["Paint", "", "", ["ArrowRight", "Shift+ArrowRight"], walk(1, 0)],
  ["Paint", "", "", ["ArrowUp", "Shift+ArrowUp"], walk(0, -1)],
  ["Paint", "", "", ["ArrowDown", "Shift+ArrowDown"], walk(0, 1)],
  ["Paint", "Alt Arrows", "Move what is painted by a pixel; with Shift by ten", [], null],
  ["Paint", "Enter", "Dab", ["Enter"], (event) => select.enter() || dab(event)],
  ["Select", "W", "Select; again: wires, dust, people", ["w"], () => select.choose()],
  ["Select", "Enter", "Begin a box, end it; take what is proposed", [], null],
  ["Select", "Esc", "Drop what is proposed", [], null],
  ["Select", "Alt drag", "Take away; also the right button", [], null],
  ["Select", "I", "Strokes take away, or add again", ["i"], () => select.toggleLess()],
  ["Select", "P", "In a series, the same selection in the next photos", ["p"], () => attempt(carry)],
  ["Select", "D", "The shadow, too", ["d"], () => select.toggleShadow()],
  ["Select", "Y", "The wires beside it, too", ["y"], () => select.toggleBeside()],
  ["Look", "0", "All of the photo", ["0"], zoom(() => view.fit())],
  ["Look", "1", "100 %", ["1"], zoom(() => view.zoomTo(1))],
  [
    "Look",
    "+  -",
    "Larger, smaller; also the wheel",
    ["+", "=", "Shift++", "Shift+="],
    zoom(() => view.zoomTo(view.zoom * 1.25)),
  ],
  ["Look", "", "", ["-"], zoom(() => view.zoomTo(view.zoom / 1.25))],
  ["Look", "Space", "Hold and drag to move the photo", [], null],
  ["Look", `${MOD} Arrows`, "Move the photo", ["Mod+ArrowLeft"], pan(-1, 0)],
  ["Look", "", "", ["Mod+ArrowRight"], pan(1, 0)],
  ["Look", "", "", ["Mod+ArrowUp"], pan(0, -1)],
  ["Look", "", "", ["Mod+ArrowDown"], pan(0, 1)],
  ["Look", "X", "Hold to see the photo before", ["x"], (event) => event.repeat || hold(true)],
  ["Look", "C", "Divider between before and after", ["c"], () => toggleDivider()],
  [
    "Look",
    "H",
    "Hold to see what would be replaced, with its margin",
    ["h"],
    (event) => event.repeat || attempt(() => grown.hold(true)),
  ],
  ["Look", "O", "Hold to outline what was filled", ["o"], (event) => event.repeat || outlineFill(true)],
  ["Look", "V", "Review: look at every fill; Enter accepts it", ["v"], () => attempt(review.start)],
  ["Photos", `${MOD} O`, "Open", ["Mod+o"], () => $("#open").click()],
  ["Photos", "Page Up  Page Down", "The photo before, the next", ["PageUp"], () => attempt(() => series.go(-1))],
  ["Photos", "", "", ["PageDown"], () => attempt(() => series.go(1))],
  ["Photos", "N", "Skip: leave this photo as it is", ["n"], () => attempt(series.skip)],
  [
    "Photos",
    "M",
    "Same mask as the last one; on all photos chosen by Ctrl or Shift click",
    ["m"],
    () => attempt(series.sameMask),
  ],
  ["Photos", `${MOD} C  ${MOD} V`, "Copy the mask, paste it on another photo or on those chosen", [], null],
  ["Photos", "S", "Settings", ["s"], () => $("#fold").click()],
  ["Photos", "G", "Mask and frame", ["g"], () => $("#extras-open").click()],
  ["Photos", "?", "These keys", ["?", "Shift+?"], showKeys],
];

/** Keys during a review. */
const REVIEW = {
  Enter: review.accept,
  t: review.redo,
  ArrowRight: () => review.go(1),
  ArrowLeft: () => review.go(-1),
};

const actions = new Map(TABLE.flatMap(([, , , keys, act]) => keys.map((key) => [key, act])));

function setLine(on) {
  tools.tools.line = on;
  redraw(MARKS);
}

export function showKeys() {
  $("#keys").showModal();
}

/** Whether this is a number that chooses among several fills. */
const chooses = (event) => choice.choosing() && /^[1-8]$/.test(event.key) && choice.pick(Number(event.key));

function nameOf(event) {
  const mod = (event.ctrlKey || event.metaKey) && !event.getModifierState("AltGraph");
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  return `${mod ? "Mod+" : ""}${event.shiftKey ? "Shift+" : ""}${key}`;
}

function onKeyDown(event) {
  if ($("dialog[open]") || event.isComposing) return;
  const name = nameOf(event);
  if (inTextField() && !["Mod+Enter", "Mod+s", "Mod+o", "Escape"].includes(name)) return;
  if (event.key === " " && !event.ctrlKey && !event.metaKey) {
    const focused = document.activeElement;
    if (focused.matches("button, summary, input, [role=slider]") && focused.matches(":focus-visible")) return;
    pointers.pan(true);
    event.preventDefault();
    return;
  }
  if (event.key === "Enter" && document.activeElement.matches("button, summary") && !name.startsWith("Mod")) return;
  if (event.altKey && !event.getModifierState("AltGraph")) {
    const far = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!far || !state.photo) return;
    const times = event.shiftKey ? 10 : 1;
    nudge(far[0] * times, far[1] * times);
    event.preventDefault();
    return;
  }
  if (review.reviewing() && REVIEW[name] && !document.activeElement.matches("button")) {
    attempt(REVIEW[name]);
    event.preventDefault();
    return;
  }
  if (chooses(event)) {
    event.preventDefault();
    return;
  }
  const act = actions.get(name) ?? (event.shiftKey && !name.startsWith("Mod") ? actions.get(name.slice(6)) : null);
  if (!act || act(event) === false) return;
  event.preventDefault();
}

export function prepare() {
  let list = null;
  for (const [section, shown, what] of TABLE) {
    if (!what) continue;
    if (list?.dataset.section !== section) {
      list = make("dl");
      list.dataset.section = section;
      $("#keys-list").append(make("section", {}, make("h3", {}, section), list));
    }
    list.append(
      make("div", {}, make("dt", {}, ...shown.split("  ").map((key) => make("kbd", {}, key))), make("dd", {}, what)),
    );
  }
  $("#keys-close").onclick = () => $("#keys").close();
  $("#help").onclick = showKeys;
  addEventListener("keydown", onKeyDown);
  addEventListener("keyup", (event) => {
    if (event.key === " ") pointers.pan(false);
    if (event.key.toLowerCase() === "x") hold(false);
    if (event.key.toLowerCase() === "o") outlineFill(false);
    if (event.key.toLowerCase() === "h") grown.hold(false);
    if (event.key === "Shift" && tools.tools.line) setLine(false);
  });
  addEventListener("keydown", (event) => {
    if (event.key === "Shift" && !event.repeat) setLine(true);
  });
  // The stage's frame is shown to users who came by Tab, not while painting.
  let tabbed = false;
  addEventListener("keydown", (event) => (tabbed = event.key === "Tab"), true);
  $("#stage").addEventListener("focus", () => $("#stage").classList.toggle("by-keyboard", tabbed));
  addEventListener("blur", () => {
    pointers.pan(false);
    hold(false);
    grown.hold(false);
  });
  for (const element of $$("[title]")) if (mac) element.title = element.title.replace("Ctrl", "⌘");
}
