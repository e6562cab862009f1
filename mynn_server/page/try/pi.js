// Requests of the pages of /try/ to the Pi, and their button to keep something there. Pupils sign in in another tab, so
// that nothing is lost here.

import { $, showTrouble, write } from "./shared.js";
import { _ } from "./translation.js";

const SOON = 4000; // milliseconds until the delay is explained
const PATIENCE = 180_000; // a Pi Zero starts within one minute, and may take two to test a network
const WAITING = _("The Pi is still starting, or busy. Stay here: it is kept as soon as the Pi can.");
const SILENT = _("The Pi has not answered for three minutes. Nothing is lost here: try again, or ask your teacher.");
const AWAY = _("The Pi cannot be reached. Is it on, and is this device in its Wi-Fi? Nothing is lost here: try again.");
const STRANGER = _("Sign in to this Pi first: its password is on its label. What you have here stays meanwhile.");

// Call `send` when the button is pressed, and show its sentences. An Error's message is a sentence, too.
export function addKeep(send) {
  const signIn = $("sign-in");
  const signedIn = new BroadcastChannel(signIn.target); // between this Pi's pages
  let busy = false;

  async function keep() {
    if (busy) return;
    busy = true;
    signIn.hidden = true;
    write($("kept"), _("It is on its way to the Pi …"));
    const late = setTimeout(write, SOON, $("kept"), WAITING);
    const sentences = await send().catch((error) => [error.message]);
    clearTimeout(late);
    signIn.hidden = !sentences.includes(STRANGER);
    write($("kept"), sentences.join(" "));
    busy = false;
  }

  $("keep-it").addEventListener("click", keep);
  signedIn.onmessage = () => signIn.hidden || keep();
  if (window.name === signIn.target) {
    signedIn.postMessage(""); // this is the tab for signing in
    window.close();
    showTrouble(_("You are signed in. Close this tab: what you want to keep is in the one before."));
  }
}

// Return the XSRF token, which a signed-in user sends beside the cookie.
export const token = () => /(?:^|; )_xsrf=([^;]+)/.exec(document.cookie)?.[1] ?? "";

// Send a request to the Pi and return its sentence. An Error's message is a sentence, too.
export async function ask(address, body) {
  const silence = new AbortController();
  const deadline = setTimeout(() => silence.abort(), PATIENCE);
  const request = { method: body ? "POST" : "GET", body, cache: "no-store", headers: { "X-XSRFToken": token() } };
  const answer = await fetch(address, { ...request, signal: silence.signal }).catch(() => {
    throw new Error(silence.signal.aborted ? SILENT : AWAY);
  });
  const { message } = await answer.json().catch(() => ({})); // 204 has no body
  clearTimeout(deadline);
  if (answer.status === 403) throw new Error(STRANGER);
  if (!answer.ok) throw new Error(message ?? _("The Pi cannot keep this now (status {status}). Try again soon.", answer));
  return message;
}
