// How to fill: the quality, and the fields under "Settings". The browser keeps them.

import { $, $$ } from "./dom.js";
import { extensionOf } from "./extension.js";
import { recall, remember } from "./remember.js";
import { emit, listen, state, version } from "./state.js";

const KEY = "moebius.settings";
const FIELDS = ["model", "steps", "guidance", "dilate", "context", "detail", "seed", "extend", "gravity"];
const numbers = { steps: true, guidance: true, context: true, seed: true };
const field = (name) => $(`#setting-${name}`);

/** The fields of a run, as the server expects them. Empty fields are left to the preset. */
export function values() {
  const result = { preset: $("input[name=preset]:checked").value };
  for (const name of FIELDS) {
    const element = field(name);
    const value = element.type === "checkbox" ? element.checked : element.value.trim();
    if (value === "" && name !== "seed") continue;
    result[name] = numbers[name] || (name === "dilate" && value !== "auto") ? Number(value) : value;
  }
  if (!result.extend) delete result.gravity;
  return result;
}

const PANELS = { settings: "#fold", extras: "#extras-open", shots: "#shots-open" }; // one may be open; its button

/** Show a panel or put it away; returns whether that changed anything. Showing one puts the other away. */
export function fold(name = "settings", open = $(`#${name}`).hidden) {
  const panel = $(`#${name}`);
  if (panel.hidden !== open) return false;
  for (const [other, button] of Object.entries(PANELS)) {
    const shows = open && other === name;
    $(`#${other}`).hidden = !shows;
    $(button).setAttribute("aria-expanded", String(shows));
  }
  document.body.classList.toggle("settings-open", open);
  if (open) $("input:enabled, button:enabled", panel).focus();
  emit("bars");
  return true;
}

/** Put away whatever panel is open; returns whether one was. */
export const foldAll = () => Object.keys(PANELS).some((name) => fold(name, false));

/** What a run would add to the photo shown on each side; null for nothing, or nothing that can be added. */
export function frame(shown) {
  return extension() ? extensionOf(extension(), field("gravity").value, shown) : null;
}

/** The text of the frame's extension. A run that extends empties it, so that the next run does not extend again. */
export const extension = () => field("extend").value.trim();

export function set(name, value) {
  field(name).value = value;
  changed();
}

/** Offer these models; `chosen` is what the page starts with. */
export function offer(models, chosen = field("model").value) {
  const options = models.map((name) => new Option(name === "nano" ? "nano (demonstration)" : name, name));
  field("model").replaceChildren(...options);
  field("model").value = chosen;
}

/** Fill the form with what the server has, then with what was chosen last time. */
export function prepare() {
  const { models, model } = state.server;
  offer(models, model);
  const kept = recall("localStorage", KEY) ?? {};
  for (const name of FIELDS) {
    if (!(name in kept) || (name === "model" && !models.includes(kept.model))) continue;
    if (field(name).type === "checkbox") field(name).checked = kept[name];
    else field(name).value = kept[name];
  }
  const preset = $(`input[name=preset][value="${CSS.escape(kept.preset ?? "standard")}"]`);
  if (preset) preset.checked = true;
  showDefaults();
  listen("photo", showFrame);
  for (const element of [...FIELDS.map(field), ...$$("input[name=preset]")]) element.addEventListener("input", changed);
}

/** Show the preset's steps and guidance in the empty fields. */
function showDefaults() {
  const defaults = state.server.defaults?.[field("model").value] ?? {};
  const chosen = defaults[$("input[name=preset]:checked").value] ?? defaults;
  field("steps").placeholder = chosen.steps ?? "";
  field("guidance").placeholder = chosen.guidance ?? "";
  field("guidance").disabled = chosen.guided === false;
  for (const radio of $$("input[name=preset]")) radio.disabled = defaults.presets_alike === true;
  $("#alike").hidden = defaults.presets_alike !== true;
  $("#context-value").textContent = Number(field("context").value).toFixed(1);
}

/** Say how large the photo would become. */
function showFrame() {
  const shown = version();
  const sides = shown && frame(shown);
  const place = $("#extend-size");
  place.hidden = !shown || !extension();
  if (place.hidden) return;
  const size = sides && [shown.width + sides.left + sides.right, shown.height + sides.top + sides.bottom];
  place.textContent = size ? `It becomes ${size[0]} × ${size[1]} pixels.` : "This adds nothing that can be added.";
}

function changed() {
  showDefaults();
  showFrame();
  const { extend, ...kept } = values();
  remember("localStorage", KEY, kept);
  emit("settings");
}
