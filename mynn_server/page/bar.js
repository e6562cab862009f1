// Toolbar for pupils above Jupyter's pages: links to the start page and help; above a notebook also its title, the
// kernel's state, and large run buttons. Jupyter's own bars are hidden (bar.css) until a pupil shows them.

import { connection, tellTeacher, whenHere } from "./connection.js";
import { ours } from "./plugins.js";
import { _, language } from "./translation.js";

const KEY = "mynn-jupyter"; // in localStorage: "shown" if Jupyter's own bars are visible
const ANSWERS = ["idle", "busy", "dead"];
const LONGEST = 1200; // tenths of a second to wait for a kernel
const STATES = { idle: "", busy: _("Working …"), restarting: _("Starting again …"), dead: _("Stopped") };
Object.assign(STATES, { silent: _("The Pi does not answer"), "signed out": _("Signed out") }); // of connection.js
const AGAIN = _("All that its cells have computed and shown is forgotten. What you have written stays. Afterwards, run it from the top.");
const ICONS = {
  home: "M2 8.5 8 3l6 5.5M4 7.5V13h8V7.5",
  run: "M5 3l8 5-8 5z",
  on: "M3 3h10M8 6v7M5 10l3 3 3-3",
  all: "M3 3l5 5-5 5zM8 3l5 5-5 5z",
  stop: "M4 4h8v8H4z",
  again: "M13 8a5 5 0 1 1-1.5-3.5M12 1.5v3.3H8.7",
  help: "M5.5 6a2.5 2.5 0 1 1 3.6 2.2c-.7.4-1.1.9-1.1 1.6M8 12.2v.6",
  hand: "M5 8V4.2M7.2 7V3M9.4 7V3.4M11.6 8V5v4.5c0 2.2-1.6 4-3.7 4S4.6 12 4 10.6L2.8 8.2 5 9",
  more: "M3 4h10M3 8h10M3 12h10",
};

const icon = (name) =>
  `<svg viewBox="0 0 16 16" aria-hidden="true"><path d="${ICONS[name]}" stroke-linejoin="round" stroke-linecap="round"/></svg>`;

/** Make an element with a class, attributes and children. */
function make(kind, name, attributes = {}, ...children) {
  const element = document.createElement(kind);
  element.className = name;
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

/** Make a button or link of the bar: an icon and words, which may be hidden on a narrow screen. */
function control(kind, name, picture, words, attributes) {
  const made = make(kind, `mynn-control ${name}`, { title: words, "aria-label": words, ...attributes });
  made.innerHTML = icon(picture);
  made.append(make("span", "", {}, words));
  return made;
}

/** Add the bar to a page; return its element for the memory. `library` loads one of the page's own libraries. */
export async function addBar(app, library) {
  const [{ Widget }, apputils] = await Promise.all(["@lumino/widgets", "@jupyterlab/apputils"].map(library));
  const style = make("link", "", { rel: "stylesheet", href: ours("bar.css") });
  document.head.append(style);
  const memory = make("span", "mynn-memory", { hidden: "" });
  const middle = make("div", "mynn-middle");
  const node = make(
    "div",
    "mynn-bar",
    { role: "region", "aria-label": _("The lesson’s bar"), lang: language }, // Jupyter's page has its own language
    control("a", "mynn-home", "home", _("Lessons"), { href: ours("./"), target: "mynn-start" }),
    middle,
    memory,
    control("a", "mynn-help", "help", _("Help"), { href: ours("help.html"), target: "mynn-help" }),
  );
  const place = app.shell.top.parent;
  const widget = new Widget({ node });
  widget.id = "mynn-bar";
  place.layout.insertWidget(0, widget);
  place.node.prepend(node); // first in the tab order, too
  const fit = () => [place, app.shell.currentWidget].forEach((one) => one?.fit());
  style.addEventListener("load", fit); // on a slow Pi, later than Jupyter last measures its bars
  matchMedia("(max-width: 760px)").addEventListener("change", fit); // the bar has two rows there
  if (document.body.dataset.notebook === "notebooks") {
    node.append(ownBar(fit));
    await neverAskForKernel(app, apputils);
    // Not awaited: the page is shown only after this function.
    app.restored.then(() => forNotebook(app.shell.currentWidget, app.commands, apputils, node, middle));
  }
  return memory;
}

/** Make the switch that shows Jupyter's own bars. */
function ownBar(changed) {
  const button = control("button", "mynn-own", "more", _("Jupyter’s own bar"), { type: "button" });
  const show = (shown) => {
    document.body.classList.toggle("mynn-pupil", !shown);
    button.setAttribute("aria-pressed", shown);
    changed();
  };
  button.addEventListener("click", () => {
    const shown = document.body.classList.contains("mynn-pupil");
    localStorage.setItem(KEY, shown ? "shown" : "");
    show(shown);
  });
  show(localStorage.getItem(KEY) === "shown");
  return button;
}

/** Select the only kernel of a Pi, where Jupyter would ask which one to use. */
async function neverAskForKernel(app, { ISessionContextDialogs }) {
  const dialogs = await app.resolveOptionalService(ISessionContextDialogs);
  const select = dialogs?.selectKernel.bind(dialogs);
  if (!select) return;
  dialogs.selectKernel = async (session) => {
    await session.specsManager.ready;
    const [name, ...others] = Object.keys(session.specsManager.specs?.kernelspecs ?? {});
    await (name && !others.length ? session.changeKernel({ name }) : select(session));
  };
}

/** Return whether the lesson's program has ended. Jupyter's commands to run cells start another. */
const hasEnded = (session) => session.isReady && !session.session?.kernel;

/** Add a notebook's title, state and buttons to the bar. */
function forNotebook(panel, commands, apputils, node, middle) {
  const { context, sessionContext: session } = panel;
  new MutationObserver(() => reachFolded(panel)).observe(panel.node, { childList: true, subtree: true });
  const title = make("strong", "mynn-title");
  const state = make("span", "mynn-state");
  middle.append(title, state);
  session.ready.then(() => document.activeElement === document.body && panel.activate()); // Jupyter may not focus it
  const showTitle = () => (title.textContent = document.title = title.title = titleOf(context));
  context.ready.then(showTitle);
  context.saveState.connect((_, saved) => saved === "completed" && showTitle());
  const showState = () => {
    const status = hasEnded(session) ? "dead" : session.kernelDisplayStatus;
    node.dataset.state = connection.state === "here" ? status : connection.state;
    state.textContent = STATES[node.dataset.state] ?? _("Starting …");
  };
  connection.addEventListener("change", showState);
  session.statusChanged.connect(showState);
  session.connectionStatusChanged.connect(showState);
  session.kernelChanged.connect(showState);
  showState();
  runWhenReady(commands, session);
  const act = (command) => () => commands.execute(`notebook:${command}`);
  const again = () => startAgain(panel, commands, apputils);
  const buttons = [
    // Translators: these five are on buttons side by side, on a phone too: short words
    ["run", "run", _("Run"), act("run-cell-and-select-next"), _("Run this cell, and go on to the next")],
    ["", "on", _("Run from here"), act("run-all-below"), _("Run this cell and all below")],
    ["", "all", _("Run all"), act("run-all-cells"), _("Run all cells, from the top")],
    ["stop", "stop", _("Stop"), act("interrupt-kernel"), _("Stop what is running")],
    ["again", "again", _("Start again"), again, _("Start again: forget what was computed")],
  ].map(([name, picture, words, press, help]) => {
    const made = control("button", name && `mynn-${name}`, picture, words, { type: "button", title: help });
    made.addEventListener("click", press);
    return made;
  });
  middle.after(make("div", "mynn-buttons", {}, ...buttons));
  node.querySelector(".mynn-help").before(callForHelp(context));
}

/** Make the button by which a pupil asks the teacher for help, and takes that back. It shows the place in the queue. */
function callForHelp(context) {
  const button = control("button", "mynn-hand", "hand", _("I need help"), { type: "button" });
  const show = () => {
    const { asked, place } = connection.talk ?? {};
    const words = !asked ? _("I need help") : place ? _("You are number {place}", { place }) : _("Your teacher will see it");
    button.setAttribute("aria-pressed", Boolean(asked));
    button.title = asked ? _("Press if you need no help any more") : _("Tell your teacher that you need help");
    if (button.lastChild.textContent !== words) button.lastChild.textContent = button.ariaLabel = words;
  };
  button.addEventListener("click", () => tellTeacher({ help: connection.talk?.asked ? "" : context.path }));
  connection.addEventListener("talk", show);
  show();
  return button;
}

/** Let the keyboard open folded code, which Jupyter's arrow keys skip. */
function reachFolded({ node, content }) {
  for (const place of node.querySelectorAll(".jp-Placeholder-content:not([tabindex])")) {
    place.tabIndex = 0;
    place.setAttribute("role", "button");
    place.addEventListener("keydown", ({ key }) => key === "Enter" && (content.mode = "edit")); // of the cell that has the focus
  }
}

/** Return the notebook's first heading, or its file name. */
function titleOf({ model, path }) {
  const cells = [...model.cells].filter((cell) => cell.type === "markdown");
  const heading = /^# +(.+)$/m.exec(cells.map((cell) => cell.sharedModel.getSource()).join("\n"))?.[1];
  return heading?.replace(/[*`$]/g, "").trim() ?? path.split("/").at(-1).replace(/\.ipynb$/, "");
}

/**
 * Delay commands that run cells until the kernel answers, and ignore others meanwhile. Jupyter would sometimes lose
 * such a command, or start a second kernel, and the widgets of the first one would never appear.
 */
function runWhenReady(commands, session) {
  const execute = commands.execute.bind(commands);
  const isReady = () => ANSWERS.includes(session.kernelDisplayStatus) || hasEnded(session);
  let waiting = false;
  commands.execute = async (command, options) => {
    if (command.startsWith("notebook:run-")) {
      if (waiting) return;
      waiting = true;
      await whenHere(() => {});
      for (let tenths = 0; tenths < LONGEST && !isReady(); tenths++) await new Promise((resume) => setTimeout(resume, 100));
      waiting = false;
    }
    return execute(command, options);
  };
}

/** After a confirmation, clear all outputs and restart the kernel. */
async function startAgain(panel, commands, { Dialog, showDialog }) {
  const buttons = [Dialog.cancelButton({ label: _("No") }), Dialog.warnButton({ label: _("Start again") })];
  const { button } = await showDialog({ title: _("Start again?"), body: AGAIN, buttons });
  if (!button.accept) return;
  await commands.execute("notebook:clear-all-cell-outputs");
  panel.content.activeCellIndex = 0;
  panel.content.scrollToItem(0);
  await panel.sessionContext.restartKernel();
}
