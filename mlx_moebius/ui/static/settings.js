// How to fill: the quality, and the fields under "Settings". The browser keeps them.

import { $, $$ } from "./dom.js";
import { recall, remember } from "./remember.js";
import { emit, state } from "./state.js";

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

/** Show the settings or put them away; returns whether that changed anything. */
export function fold(open = $("#settings").hidden) {
  if ($("#settings").hidden !== open) return false;
  $("#settings").hidden = !open;
  document.body.classList.toggle("settings-open", open);
  $("#fold").setAttribute("aria-expanded", String(open));
  if (open) $("#settings input:enabled").focus();
  emit("bars");
  return true;
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

function changed() {
  showDefaults();
  const { extend, ...kept } = values();
  remember("localStorage", KEY, kept);
  emit("settings");
}
