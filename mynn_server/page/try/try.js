// First section of the page: a drawing pad, and a network that answers while one draws. All is computed in the browser;
// the Pi only sends the files.

import { add, addButton } from "./live.js";
import { Network, damage, scale, targetsFor } from "./network.js";
import { addBars, eye, inWords, paint, seen } from "./paper.js";
import { $, addPad, rove, showTrouble, write } from "./shared.js";
import { stored } from "./stored.js";
import { _, inFigures, ngettext, withArticle } from "./translation.js";

const HINT = _("Press a node to look inside, or an answer to see its dream.");

let given = null; // the network that the Pi sends
let network = null; // the one that answers
let damaged = null; // the same without the nodes that are off
const off = new Set();
let looking = null; // selected node or digit: {node: 3} or {digit: 3}
let drawn = stored("strokes", () => pad.strokes()) ?? [];

export const pad = addPad((strokes) => {
  drawn = strokes;
  show();
}, drawn);
const showSeen = eye($("sight"));
const inside = add($("inside"), "canvas", { width: 28, height: 28, className: "mynn-pad-seen" });
inside.setAttribute("role", "img");
inside.setAttribute("aria-labelledby", "inside-title");
const bars = Array.from({ length: 10 }, (_, digit) => addButton($("bars"), {}, () => look({ digit })));
const showOutputs = addBars(bars);
rove($("bars"));
const all = addButton($("damage"), { textContent: _("Switch all on"), hidden: true }, () => {
  off.clear();
  change();
  $("nodes").querySelector("[tabindex='0']").focus();
});
let nodes = [];

// Switch to another network; null switches back to the one from the Pi.
export function use(other) {
  network = other ?? given;
  if (!network) return;
  if (nodes.length !== network.wih.length) {
    off.clear();
    looking = null;
    $("nodes").replaceChildren();
    nodes = network.wih.map((weights, node) => {
      const button = addButton($("nodes"), { className: "node" }, () => look({ node }));
      // Translators: at most seven letters, on a hidden node that is switched off
      button.dataset.off = _("off");
      return { button, light: add(button, "span", { className: "light" }) };
    });
    rove($("nodes"));
  }
  change();
}

// Update the page after nodes were switched, or the network was replaced.
function change() {
  damaged = off.size ? damage(network, [...off]) : network;
  const count = network.wih.length;
  $("hidden-title").textContent = ngettext("{count} hidden node", "{count} hidden nodes", count);
  const places = { all: count };
  const words = ngettext("{count} of {all} nodes is off.", "{count} of {all} nodes are off.", off.size, places);
  write($("damage-words"), off.size ? words : HINT);
  all.hidden = !off.size;
  show();
}

// Show the network's answer to the drawing.
function show() {
  const pixels = seen(drawn);
  showSeen(pixels ?? new Uint8Array(784));
  if (!network) return;
  const inputs = pixels && scale(pixels);
  const outputs = inputs && damaged.query(inputs);
  write($("says"), inWords(outputs, pixels, drawn));
  showOutputs(outputs);
  bars.forEach((bar, digit) => bar.setAttribute("aria-pressed", looking?.digit === digit));
  showNodes(inputs && network.signals(inputs).hidden);
  showInside();
}

function showNodes(signals) {
  nodes.forEach(({ button, light }, node) => {
    const isOff = off.has(node);
    light.style.setProperty("--signal", isOff ? 0 : (signals?.[node] ?? 0));
    button.classList.toggle("off", isOff);
    const places = { number: node + 1, signal: signals && inFigures(signals[node], 2) };
    const label = isOff
      ? _("Hidden node {number}: off", places)
      : signals
        ? _("Hidden node {number}: {signal}", places)
        : _("Hidden node {number}: no signal", places);
    button.setAttribute("aria-label", label);
    button.setAttribute("aria-pressed", looking?.node === node);
  });
}

// Select a node or a digit, or deselect it if it is selected already.
function look(what) {
  const same = what.node === looking?.node && what.digit === looking?.digit;
  looking = same ? null : what;
  show();
  if (looking) $("inside").scrollIntoView({ block: "nearest" });
}

function showInside() {
  $("inside").hidden = !looking;
  if (!looking) return;
  const { node, digit } = looking;
  const isNode = node !== undefined;
  $("switch").hidden = !isNode;
  $("on").checked = !off.has(node);
  $("on").disabled = off.size === nodes.length - 1 && !off.has(node); // the last one that is on
  if (isNode) {
    write($("inside-title"), _("The weights of hidden node {number}", { number: node + 1 }));
    write($("inside-words"), _("Ink on red wakes it, ink on blue puts it to sleep."));
    const most = Math.max(...network.wih[node].map(Math.abs)) || 1;
    paint(inside, network.wih[node], (weight) => redToBlue(weight / most));
  } else {
    const words = _("Asked backwards, it takes this for a {digit}: it wants ink where it is dark.", { digit });
    write($("inside-title"), withArticle(_("The dream of a {digit}", { digit })));
    write($("inside-words"), withArticle(words));
    paint(inside, damaged.backquery(targetsFor(digit)), (input) => Array(3).fill(255 * (1 - input)));
  }
}

// Return a colour: blue for -1, white for 0, red for 1.
export function redToBlue(part) {
  const full = part > 0 ? [178, 24, 43] : [33, 102, 172];
  return full.map((colour) => 255 + (colour - 255) * Math.abs(part));
}

$("on").addEventListener("change", () => {
  if ($("on").checked) off.delete(looking.node);
  else off.add(looking.node);
  change();
});

async function begin() {
  const answer = await fetch("network.bin");
  if (!answer.ok) throw new Error(_("the Pi answers with status {status}", answer));
  given = Network.from(new Float32Array(await answer.arrayBuffer()));
  if (!network) use(given); // unless training has begun meanwhile
}

begin().catch((error) => showTrouble(_("The network did not arrive ({reason}). Reload this page.", { reason: error.message })));
