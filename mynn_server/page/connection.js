// Whether the Pi answers this page, and whether the page is signed in. If not, a line across the page says so, with a
// field for the password, and what needs the Pi waits. Each look also brings what the teacher says.

import { addLine, allowed, lines, ours } from "./plugins.js";
import { _ } from "./translation.js";

const EVERY = 2500; // milliseconds between two looks: what the teacher says is here within three seconds
const PATIENCE = 6000; // milliseconds for an answer: together, less than ten seconds
const SILENT = _("The Pi does not answer: it is off, or the Wi-Fi is gone. What you have typed is not lost. This page goes on by itself.");
const SIGNED_OUT = _("You are not signed in any more. Type the Pi’s password, which is on the label: then your work is saved.");
// The state is "here", "silent" or "signed out". The events: "change" of it, or of the notebook server, which has started
// again; and "talk", the latest answer of the Pi's `talk` (talk.py).
export const connection = Object.assign(new EventTarget(), { state: "here", talk: null });
let line;
let told = 0; // answers to what this page told the teacher

/** Send a request once the Pi answers, and again if the Pi was gone or the page signed out meanwhile. */
export async function whenHere(send) {
  for (;;) {
    while (connection.state !== "here") await new Promise((resume) => connection.addEventListener("change", resume, { once: true }));
    try {
      return await send();
    } catch (error) {
      await look();
      if (connection.state === "here") throw error;
    }
  }
}

/** Find out the state. */
async function look() {
  const request = { cache: "no-store", signal: AbortSignal.timeout(PATIENCE) };
  const before = told;
  const answer = await fetch(ours("talk"), request).catch(() => null);
  const talk = answer?.ok && !answer.redirected ? await answer.json().catch(() => null) : null;
  const state = answer?.redirected ? "signed out" : talk ? "here" : "silent";
  const isAnother = talk && connection.talk && talk.began !== connection.talk.began;
  if (talk && before === told) hear(talk); // otherwise it may be from before a call for help was taken back
  if (state === connection.state && !isAnother) return;
  connection.state = state;
  line?.remove();
  if (state === "silent") line = addLine({ className: "mynn-told" }, SILENT);
  if (state === "signed out") lines.append((line = signInForm()));
  connection.dispatchEvent(new Event("change"));
}

function hear(talk) {
  connection.talk = talk;
  connection.dispatchEvent(new Event("talk"));
}

/** Tell the teacher, such as { help: path }, and hear the answer. */
export async function tellTeacher(said) {
  const request = { method: "POST", headers: allowed(), body: JSON.stringify(said) };
  const answer = await whenHere(() => fetch(ours("talk"), request));
  if (answer.ok) {
    const talk = await answer.json();
    told++;
    return hear(talk);
  }
  addLine({ className: "mynn-told" }, (await answer.json()).message);
}

function signInForm() {
  const form = Object.assign(document.createElement("form"), { className: "mynn-told" });
  form.innerHTML = '<p role="alert"></p><input type="password" autocomplete="current-password" required><button></button>';
  const [says, field, button] = form.children;
  says.textContent = SIGNED_OUT;
  field.ariaLabel = _("The Pi’s password");
  button.textContent = _("Sign in");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const request = { method: "POST", headers: allowed(), body: new URLSearchParams({ password: field.value }) };
    const answer = await fetch(ours("../login"), request).catch(() => null);
    const page = new DOMParser().parseFromString((await answer?.text()) ?? "", "text/html");
    says.textContent = page.querySelector("[role=alert]")?.textContent ?? SIGNED_OUT;
    await look();
  });
  return form;
}

async function keepLooking() {
  if (!document.hidden) await look();
  setTimeout(keepLooking, EVERY);
}

keepLooking();
