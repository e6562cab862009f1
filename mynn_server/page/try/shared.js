// Functions that the pages of /try/ share.

import { calmly, paper } from "./paper.js";
import { _ } from "./translation.js";

export const $ = (id) => document.getElementById(id);

// Translators: three rules for learning, in a list to choose from. In the lessons' code these are their names.
export const RULE_NAMES = { book: _("book"), gradient: _("gradient"), "cross-entropy": _("cross-entropy") };

// Write only changes, since they are read aloud.
export function write(element, words) {
  if (element.textContent !== words) element.textContent = words;
}

export function showTrouble(sentence) {
  $("trouble").textContent = sentence;
  $("trouble").hidden = false;
  $("trouble").scrollIntoView({ block: "nearest" });
}

// Add the drawing pad with its buttons and keys, and with `strokes`. It calls `show` with all strokes.
export function addPad(show, strokes = []) {
  const later = calmly(show);
  const pad = paper($("pad"), strokes, later, later);
  $("pad").prepend(pad.sheet);
  pad.addTools($("tools"));
  pad.sheet.addEventListener("keydown", (event) => pad.key(event) && event.preventDefault());
  return pad;
}

// Roving tabindex: the Tab key reaches one of a group's buttons, and arrow keys the others.
export function rove(group) {
  const buttons = [...group.children];
  const reach = (one) => buttons.forEach((button) => (button.tabIndex = button === one ? 0 : -1));
  reach(buttons[0]);
  buttons.forEach((button, place) => {
    button.addEventListener("focus", () => reach(button));
    button.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
      if (!step) return;
      event.preventDefault();
      buttons.at((place + step) % buttons.length).focus();
    });
  });
}
