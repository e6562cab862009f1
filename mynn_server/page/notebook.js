// Plugin for Jupyter's pages. Its style is in notebook.css. It adds the bar for pupils (bar.js), with the free memory if
// that is short, the teacher's message to all, and lines to this pupil.

import { addBar } from "./bar.js";
import { connection, tellTeacher } from "./connection.js";
import { addLine, ask, ours } from "./plugins.js";
import { _ } from "./translation.js";

const EVERY = 30_000; // milliseconds between two requests
let message = ""; // the teacher's latest
let line = null; // that shows it
let told = null; // the line to this pupil that is shown: its number and element

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

/** Show the oldest unread line to this pupil. A press says that it was read, and goes to the task that it is about. */
function showTold(panel) {
  const [next] = connection.talk.lines;
  if (next?.number === told?.number) return;
  told?.element.remove();
  told = null;
  if (!next) return;
  const words = next.task ? _("Your teacher, about {task}: {text}", next) : _("Your teacher: {text}", next);
  const element = addLine({ className: "mynn-told", title: _("Press when you have read it.") }, words);
  element.addEventListener("click", () => {
    tellTeacher({ read: next.number });
    noteAtTask(panel, next, words);
  });
  told = { number: next.number, element };
}

/** Go to the cell of the task that a line is about, and leave the line there until the page is closed. */
function noteAtTask({ content, context }, { lesson, task }, words) {
  if (!task || !context.path.endsWith(`${lesson}.ipynb`)) return;
  const at = content.widgets.findIndex(({ model }) => model.sharedModel.getSource().includes(`check(${task},`));
  if (at < 0) return;
  content.activeCellIndex = at;
  content.scrollToItem(at);
  content.widgets[at].node.append(Object.assign(document.createElement("p"), { className: "mynn-note", textContent: words }));
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
    connection.addEventListener("talk", () => showTold(app.shell.currentWidget));
    keepLooking(await addBar(app, library));
  },
});
