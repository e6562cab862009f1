// Whether the Pi answers this page, and whether the page is signed in. If not, a line across the page says so, with a
// field for the password, and what needs the Pi waits.

import { allowed, ours } from "./plugins.js";
import { _ } from "./translation.js";

const EVERY = 3000; // milliseconds between two looks
const PATIENCE = 6000; // milliseconds for an answer: together, less than ten seconds
const WORDS = {
  silent: _("The Pi does not answer: it is off, or the Wi-Fi is gone. What you have typed is not lost. This page goes on by itself."),
  "signed out": _("You are not signed in any more. Type the Pi’s password, which is on the label: then your work is saved."),
};
export const connection = { state: "here" }; // or "silent", or "signed out"
const listeners = []; // called when the state changes
let [line, waiting, here] = [null, Promise.resolve(), () => {}];

/** Call a function when the state changes. */
export const onChange = (act) => void listeners.push(act);
/** Call a function when the Pi answers again. */
export const onReturn = (act) => onChange(() => connection.state === "here" && act());

/** Send a request once the Pi answers, and again if the Pi was gone or the page signed out meanwhile. */
export async function whenHere(send) {
  for (;;) {
    await waiting;
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
  let state = "silent";
  try {
    const answer = await fetch(ours("extension.js"), { cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
    state = answer.redirected ? "signed out" : answer.ok ? "here" : "silent";
  } catch {
    // it is silent
  }
  if (state === connection.state) return;
  if (connection.state === "here") waiting = new Promise((resume) => (here = resume));
  connection.state = state;
  line?.remove();
  if (state === "here") here();
  else document.body.append((line = made(state)));
  listeners.forEach((act) => act());
}

/** Make the line that says what is wrong. */
function made(state) {
  const form = Object.assign(document.createElement("form"), { className: "mynn-told", lang: document.documentElement.lang });
  const says = Object.assign(document.createElement("p"), { textContent: WORDS[state] });
  says.setAttribute("role", "alert");
  form.append(says);
  if (state !== "signed out") return form;
  const field = Object.assign(document.createElement("input"), { type: "password", autocomplete: "current-password", required: true });
  field.setAttribute("aria-label", _("The Pi’s password"));
  form.append(field, Object.assign(document.createElement("button"), { textContent: _("Sign in") }));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const body = new URLSearchParams({ password: field.value });
    const answer = await fetch(ours("../login"), { method: "POST", headers: allowed(), body }).catch(() => null);
    const page = new DOMParser().parseFromString((await answer?.text()) ?? "", "text/html");
    says.textContent = page.querySelector("[role=alert]")?.textContent ?? WORDS[state];
    await look();
  });
  return form;
}

async function keepLooking() {
  if (!document.hidden) await look();
  setTimeout(keepLooking, EVERY);
}

keepLooking();
