// Saves labelled drawings and the network that was trained, alone or with the class, in the student's folder on the Pi.
// Lessons use them.

import { addButton } from "./live.js";
import { seen } from "./paper.js";
import { addKeep, ask } from "./pi.js";
import { $, rove, write } from "./shared.js";
import { forget, store, stored } from "./stored.js";
import { taught } from "./teach.js";
import { ours } from "./together.js";
import { pad } from "./try.js";
import { _, ngettext, withArticle } from "./translation.js";

const MOST = 500; // drawings per request, as in try_page.py
const NOTHING = _("There is nothing to keep yet: teach a network, or draw digits and press what they are.");

const drawings = new Map(stored("drawings", () => [...drawings])); // labels by pixels
const done = new Map(stored("done", () => [...done].slice(-10))); // on the Pi; for take.js

for (let digit = 0; digit < 10; digit++) addButton($("labels"), { textContent: digit }, () => label(digit));
rove($("labels"));
addKeep(send);
showCount();
if (!store()) write($("stays"), _("This browser stores nothing: what you teach and draw is gone when this page is loaded again."));
$("take-it").addEventListener("click", store); // the new tab gets a copy
$("afresh").addEventListener("click", () => {
  if (confirm(_("Throw away all that you have taught, drawn and climbed on this page? What is on the Pi stays."))) forget();
});

function showCount(said = "") {
  const count = ngettext("{count} drawing to keep.", "{count} drawings to keep.", drawings.size);
  write($("labelled"), drawings.size ? `${said} ${count}`.trim() : "");
}

// Label the current drawing with a digit.
function label(digit) {
  const pixels = seen(pad.strokes());
  if (!pixels) return write($("labelled"), _("Draw a digit first, then press what it is."));
  drawings.set(pixels.join(), digit);
  showCount(withArticle(_("That is a {digit}.", { digit })));
  pad.clear();
  store();
  pad.sheet.focus({ preventScroll: true }); // ready for the next drawing
}

const sent = (network) => Float32Array.from(network.weights());

// Send the drawings and the network; return the Pi's sentences.
async function send() {
  const [network, some] = [ours() ?? taught(), [...drawings].slice(0, MOST)];
  if (!network && !some.length) return [NOTHING];
  const sentences = [];
  try {
    await ask("keep");
    if (some.length) sentences.push(await ask("drawings", some.map(([pixels, digit]) => `${digit},${pixels}\n`).join("")));
    some.forEach(([pixels, digit]) => done.set(pixels, digit));
    some.forEach(([pixels]) => drawings.delete(pixels));
    showCount();
    if (network) sentences.push(await ask(`network?rate=${network.learningRate}&rule=${network.rule}`, sent(network)));
  } catch (error) {
    sentences.push(error.message);
  }
  return sentences;
}
