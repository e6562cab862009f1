// Plugin for Jupyter's pages. Its style is in notebook.css. It adds the bar for pupils (bar.js), with the free memory if
// that is short, and the teacher's message.

import { addBar } from "./bar.js";
import { addLine, ask, ours } from "./plugins.js";
import { _ } from "./translation.js";

const EVERY = 30_000; // milliseconds between two requests
let message = ""; // the teacher's latest
let line = null; // that shows it

function showMemory(place, { free, short }) {
  place.hidden = free >= short;
  place.textContent = _("{free} MB free", { free });
  place.title = _("Memory is short. End other lessons on the start page.");
}

function showMessage(text) {
  if (text === message) return;
  message = text;
  line?.remove();
  line = text ? addLine({ id: "mynn-message", title: _("From your teacher. Press to put it away.") }, text) : null;
}

/** Fetch and show the status every half minute while the page is visible. */
async function keepLooking(memory) {
  const status = document.hidden ? null : await ask("status");
  if (status) {
    showMemory(memory, status.memory);
    showMessage(status.message?.text ?? "");
  }
  setTimeout(() => keepLooking(memory), EVERY);
}

export const plugin = (library) => ({
  id: "mynn:notebook",
  autoStart: true,
  activate: async (app) => {
    const style = Object.assign(document.createElement("link"), { rel: "stylesheet", href: ours("notebook.css") });
    document.head.append(style);
    document.documentElement.style.setProperty("--mynn-show-code", JSON.stringify(_("show the code")));
    keepLooking(await addBar(app, library));
  },
});
