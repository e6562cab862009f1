// Keeps the network that was taught, and drawings that were given a label, in the student's folder on the Pi, where
// lessons go on with them. Whoever is not signed in does that in another tab, so that nothing is lost here.

import { addButton } from "./live.js";
import { $, rove, seen, showTrouble, write } from "./shared.js";
import { taught } from "./teach.js";
import { named, pad } from "./try.js";

const MOST = 500; // drawings at once, as in try_page.py
const SOON = 4000; // milliseconds until it says why it takes so long
const PATIENCE = 180_000; // a Pi Zero starts within one minute, and may take two to test a network
const NOTHING = "There is nothing to keep yet: teach a network, or draw digits and press what they are.";
const WAITING = "The Pi is still starting, or busy. Stay here: it is kept as soon as the Pi can.";
const SILENT = "The Pi has not answered for three minutes. Nothing is lost here: try again, or ask your teacher.";
const AWAY = "The Pi cannot be reached. Is it on, and is this device in its Wi-Fi? Nothing is lost here: try again.";
const STRANGER = "Sign in to this Pi first: its password is on its label. What you have here stays meanwhile.";

const drawings = new Map(); // a label for each list of pixels
const signIn = $("sign-in");
const signedIn = new BroadcastChannel(signIn.target); // between this Pi's pages
let busy = false;

for (let digit = 0; digit < 10; digit++) addButton($("labels"), { textContent: digit }, () => label(digit));
rove($("labels"));
$("keep-it").addEventListener("click", keep);
signedIn.onmessage = () => signIn.hidden || keep();
if (window.name === signIn.target) {
  signedIn.postMessage(""); // this is the other tab
  window.close();
  showTrouble("You are signed in. Close this tab: what you want to keep is in the one before.");
}

// What was drawn is this digit.
function label(digit) {
  const pixels = seen(pad.strokes());
  if (!pixels) return write($("labelled"), "Draw a digit first, then press what it is.");
  drawings.set(pixels.join(), digit);
  const count = `${drawings.size} drawing${drawings.size === 1 ? "" : "s"}`;
  write($("labelled"), `That is ${named(digit)}. You have ${count} to keep.`);
  pad.clear();
  pad.sheet.focus({ preventScroll: true }); // for the next one
}

async function keep() {
  if (busy) return;
  busy = true;
  signIn.hidden = true;
  write($("kept"), "It is on its way to the Pi …");
  const late = setTimeout(write, SOON, $("kept"), WAITING);
  const sentences = await send();
  clearTimeout(late);
  signIn.hidden = !sentences.includes(STRANGER);
  write($("kept"), sentences.join(" "));
  busy = false;
}

// Send what there is; returns sentences.
async function send() {
  const [network, some] = [taught(), [...drawings].slice(0, MOST)];
  if (!network && !some.length) return [NOTHING];
  const sentences = [];
  try {
    await ask("keep");
    if (some.length) sentences.push(await ask("drawings", some.map(([pixels, digit]) => `${digit},${pixels}\n`).join("")));
    some.forEach(([pixels]) => drawings.delete(pixels));
    if (network) sentences.push(await ask("network", network.save()));
  } catch (error) {
    sentences.push(error.message);
  }
  return sentences;
}

// Ask the Pi, and return its sentence; an Error is one, too.
async function ask(address, body) {
  const token = /(?:^|; )_xsrf=([^;]+)/.exec(document.cookie)?.[1] ?? "";
  const silence = new AbortController();
  const deadline = setTimeout(() => silence.abort(), PATIENCE);
  const request = { method: body ? "POST" : "GET", body, cache: "no-store", headers: { "X-XSRFToken": token } };
  const answer = await fetch(address, { ...request, signal: silence.signal }).catch(() => {
    throw new Error(silence.signal.aborted ? SILENT : AWAY);
  });
  const { message } = await answer.json().catch(() => ({})); // 204 has no words
  clearTimeout(deadline);
  if (answer.status === 403) throw new Error(STRANGER);
  if (!answer.ok) throw new Error(message ?? `The Pi cannot keep this now (status ${answer.status}). Try again soon.`);
  return message;
}
