// Section of the page for the class's network: join or start a session, and see scores. The worker does the rest.

import { Network } from "./network.js";
import { token } from "./pi.js";
import { $, write } from "./shared.js";
import { use } from "./try.js";
import { _, inFigures, ngettext } from "./translation.js";

let worker = null;
let network = null; // shared by the class
export const ours = () => ($("ours").checked ? network : null); // if the pad asks it

$("join").addEventListener("submit", (event) => {
  event.preventDefault();
  run({ code: $("code").value.replaceAll(/\s/g, "") });
});
$("watch").addEventListener("click", () => run({}));
$("lead").addEventListener("click", lead);
new BroadcastChannel($("lead-sign-in").target).onmessage = () => $("lead-sign-in").hidden || lead(); // see pi.js
$("start").addEventListener("click", async () => {
  const headers = { "X-XSRFToken": await signedIn() };
  const answer = await fetch("together/start", { method: "POST", headers });
  if (!answer.ok) write($("together-says"), _("It cannot be started: begin a new one."));
});
$("ours").addEventListener("change", () => use(ours()));

async function lead() {
  const signed = await signedIn();
  if (signed) run({ begin: { two: $("two").checked, token: signed } });
}

// Return the XSRF token of a signed-in user; for others, show the link to sign in, and return "".
async function signedIn() {
  const answer = await fetch("keep");
  $("lead-sign-in").hidden = answer.ok;
  return answer.ok ? token() : "";
}

function run(message) {
  worker?.terminate();
  worker = new Worker("together-worker.js", { type: "module" });
  worker.onmessage = ({ data }) => show(data);
  worker.onerror = () => show({ trouble: _("this browser cannot do it") });
  worker.postMessage(message);
  $("figures").hidden = true;
  write($("together-says"), _("The digits are on their way."));
}

function show({ trouble, about, network: latest, together, own }) {
  if (trouble) return write($("together-says"), trouble);
  const { started, rounds, of, members, left_out: leftOut, best, code } = about;
  $("leading").hidden = !code;
  $("class-code").textContent = code ? `${code.slice(0, 3)} ${code.slice(3)}` : "";
  $("start").hidden = started;
  const before = code
    ? _("Read the code out, and start it when all are in.")
    : _("It begins when your teacher starts it.");
  const after = rounds === of ? _("All {of} rounds have ended.", { of }) : _("It learns.");
  const far = ngettext(
    "{count} browser was left out of the last round: its weights went far from all others’.",
    "{count} browsers were left out of the last round: their weights went far from all others’.",
    leftOut,
  );
  write($("together-says"), started ? `${after} ${leftOut ? far : ""}`.trim() : before);
  write($("rounds"), _("{rounds} of {of}", { rounds, of }));
  write($("members"), members);
  write($("class-score"), percent(together));
  write($("best-score"), started ? percent(best / 1000) : "–");
  write($("own-score"), percent(own));
  $("own-score").parentElement.hidden = own === undefined;
  $("figures").hidden = false;
  $("asks-ours").hidden = !latest;
  network = latest && Network.of(latest);
  if (ours()) use(ours());
}

const percent = (part) => (part === undefined ? "–" : _("{percent}%", { percent: inFigures(100 * part, 1) }));
