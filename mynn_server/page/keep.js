// Plugin for Jupyter's pages that prevents lost work. Each save names the version that it was made from. If another page
// has saved the file meanwhile, the server keeps both (contents.py), and this page says so. The server also sends
// outputs that were missed while the page was closed or offline, and why the kernel died (output_store.py).
// A save follows a few seconds after a change, and waits until the Pi answers. What is typed after that is sent when the
// page is left, and kept in the browser, too: if the Pi does not get it, the lesson's next page sends it.

import { connection, whenHere } from "./connection.js";
import { addLine, allowed, ask, ours } from "./plugins.js";
import { _ } from "./translation.js";

const EVERY = 1500; // milliseconds between two requests
const SOON = 3000; // milliseconds between a change and its save
const SHARE = 10; // on a slow Pi, saves take a tenth of the time
const KEPT = "mynn-kept "; // in localStorage, before a path: what was typed last, as a save
const PAGE = crypto.getRandomValues(new Uint32Array(4)).join("-");
const wait = (milliseconds) => new Promise((resume) => setTimeout(resume, milliseconds));
const nameOf = (path) => path.split("/").pop();
let latest; // identifies the latest call of `follow`
let left = 0; // how often the page was left or hidden
let died = ""; // why the kernel died, if it did
const versions = new Map(); // by path: where this page saves, and the version there
const saves = new Map(); // by context: what was typed until the last one, if the next comes soon, how long one takes
const typed = ({ cells }) => JSON.stringify(cells.map((cell) => [cell.cell_type, cell.source]));

/** Show a sentence across the top of the page, once. */
function tell(text) {
  document.querySelectorAll(".mynn-told").forEach((line) => line.textContent === text && line.remove());
  addLine({ className: "mynn-told", title: _("Press to put it away.") }, text);
}

/** Say why the kernel died: in Jupyter's dialog, or else at the top. A page that was asleep gets no dialog. */
async function explain(why) {
  const isNews = why && why !== died;
  died = why;
  for (let tenths = 0; isNews && tenths < 20; tenths++) {
    const title = document.querySelector(".jp-Dialog-header")?.firstChild;
    if (title) {
      title.data = _("Stopped");
      return void (document.querySelector(".jp-Dialog-body").textContent = why);
    }
    await wait(100);
  }
  if (isNews) tell(why);
}

function saveSoon(context, mine) {
  if (mine.isSoon) return;
  mine.isSoon = true;
  const save = () => context.save().catch(() => (mine.isSoon = false)); // Jupyter shows the error
  setTimeout(save, Math.max(SOON, SHARE * mine.took));
}

/** As the page is left or hidden, send what is unsaved by a request that outlives it; keep it until the Pi has it. */
function leave(mine, context) {
  const known = versions.get(context.path);
  const content = context.model.toJSON();
  if (!known || !mine.typed || typed(content) === mine.typed) return;
  for (const cell of content.cells) { // such a request has room for 64 kB: the server has the outputs (contents.py)
    delete cell.outputs;
    delete cell.execution_count;
  }
  const model = { type: "notebook", format: "json", content, made_from: known.hash, page: PAGE };
  const body = JSON.stringify({ ...model, number: ++left }); // it may be sent twice, and the answer missed
  put(known.path, body, true)
    .then((answer) => answer.ok && localStorage.removeItem(KEPT + known.path))
    .catch(() => {});
  localStorage.setItem(KEPT + known.path, body);
}

function put(path, body, keepalive) {
  const address = ours(`../api/contents/${path.split("/").map(encodeURIComponent).join("/")}`);
  return fetch(address, { method: "PUT", keepalive, headers: allowed(), body });
}

/** Send what a page has kept as it was left, unless the Pi has it. */
async function bringBack(context) {
  const { path } = context;
  const kept = localStorage.getItem(KEPT + path);
  if (kept && typed(JSON.parse(kept).content) !== typed(context.model.toJSON())) {
    const answer = await put(path, kept, false);
    if (!answer.ok) return; // the next page tries again
    const there = (await answer.json()).path;
    if (there === path) await context.revert();
    else tell(_("What you typed last, in this browser, is saved as “{ours}”: “{theirs}” has changed since. Both are on the start page.", { ours: nameOf(there), theirs: nameOf(path) }));
  }
  localStorage.removeItem(KEPT + path);
}

/** Let each save name the version that it was made from. JupyterLab's own check for conflicts then finds nothing. */
function guard(contents, contextOf) {
  const get = contents.get.bind(contents);
  const save = contents.save.bind(contents);
  contents.get = async (path, options) => {
    const known = versions.get(path);
    if (options?.content === false && known) {
      const model = await whenHere(() => get(known.path, { ...options, hash: false }));
      return { ...model, path, name: nameOf(path), hash: known.hash };
    }
    const model = await get(path, options);
    if (model.hash && options?.content !== false) versions.set(path, { path, hash: model.hash });
    return model;
  };
  const send = async (path, options) => {
    const known = versions.get(path);
    const context = contextOf(path);
    const mine = saves.get(context) ?? {};
    const begun = Date.now();
    mine.isSoon = false;
    const kernel = context?.sessionContext.session?.kernel?.id;
    const content = context?.model.toJSON() ?? options.content; // as it is now: the Pi may have been away for long
    const model = await save(known.path, { ...options, content, made_from: known.hash, page: PAGE, kernel });
    if (context) Object.assign(mine, { typed: typed(content), took: Date.now() - begun });
    localStorage.removeItem(KEPT + known.path);
    const there = model.serverPath ?? model.path;
    versions.set(path, { path: there, hash: model.hash });
    if (there !== known.path) {
      const names = { theirs: nameOf(known.path), ours: nameOf(there) };
      tell(_("Another page has changed “{theirs}” since you opened this one. Both are kept. What you do here is now saved as “{ours}”. “{theirs}” belongs to the other page. Both are on the start page.", names));
    }
    return { ...model, path, name: nameOf(path) };
  };
  contents.save = (path, options) => (versions.has(path) ? whenHere(() => send(path, options)) : save(path, options));
  contents.fileChanged.connect((_contents, { type, oldValue, newValue }) => {
    const known = versions.get(oldValue?.path);
    if (type !== "rename" || !known) return;
    versions.delete(oldValue.path);
    const isHere = known.path === oldValue.path;
    versions.set(newValue.path, { ...known, path: isHere ? newValue.path : known.path });
  });
}

/** Put a run's outputs into its cell. */
function show(cell, run, isFollowed) {
  if (cell?.type !== "code") return;
  const isThere = cell.executionCount === run.count && cell.outputs.length >= run.outputs.length;
  if (isThere && !run.running && !isFollowed) return;
  cell.trusted = true; // as if it were run here
  cell.outputs.fromJSON(run.outputs);
  cell.executionCount = run.running ? null : run.count;
  cell.executionState = run.running ? "running" : "idle";
}

/** Poll for outputs of runs that this page has not begun, or has partly missed, until the kernel is idle. */
async function follow(context) {
  const { kernel } = context.sessionContext.session ?? {};
  const cells = () => [...context.model.cells];
  const followed = new Set();
  const mine = (latest = Symbol());
  let [since, quiet] = [0, 0];
  for (let turn = 0; kernel && quiet < 2 && !context.isDisposed; turn++) {
    if (turn) await wait(EVERY);
    const answer = await ask(`missed?kernel=${kernel.id}&since=${since}`);
    if (mine !== latest || kernel.connectionStatus !== "connected") return; // a new connection starts a new poll
    for (const run of answer?.runs ?? []) {
      if (turn && run.page === kernel.clientId && !followed.has(run.request)) continue;
      show(cells().find(({ id }) => id === run.cell), run, followed.has(run.request));
      if (run.running) followed.add(run.request);
    }
    if (answer) explain(answer.died);
    since = answer?.changes ?? since;
    quiet = answer && !answer.busy ? quiet + 1 : 0;
  }
}

/** Connect to the lesson's program again. If it has ended, say so: Jupyter's Run starts another. */
async function resume({ sessionContext }, sessions) {
  const before = sessionContext.session?.kernel;
  await sessions.refreshRunning();
  const kernel = sessionContext.session?.kernel;
  if (before && !kernel) tell(_("This lesson’s program has ended, perhaps because nobody used it for a while. What your cells have computed is forgotten. What you have written is still here. Run it from the top."));
  if (kernel && kernel.connectionStatus !== "connected") await kernel.reconnect();
}

export const plugin = {
  id: "mynn:keep",
  autoStart: true,
  activate: (app) => {
    const { contents, sessions } = app.serviceManager;
    guard(contents, (path) => [...saves.keys()].find((context) => context.path === path));
    document.addEventListener("visibilitychange", () => document.hidden && saves.forEach(leave));
    const goOn = (context) => connection.state === "here" && resume(context, sessions).catch(() => {});
    connection.addEventListener("change", () => saves.forEach((_mine, context) => {
      // What is run now waits for a new connection. The old one may lead nowhere, although it looks open.
      if (connection.state === "silent") context.sessionContext.session?.kernel?.reconnect().catch(() => {});
      goOn(context);
    }));
    const look = async () => {
      const context = app.shell.currentWidget?.context;
      if (!context?.model?.cells || saves.has(context)) return;
      const mine = { isSoon: false, took: 0 };
      saves.set(context, mine);
      await context.ready;
      await bringBack(context).catch(() => {});
      mine.typed = typed(context.model.toJSON());
      context.model.contentChanged.connect(() => context.model.readOnly || saveSoon(context, mine));
      context.sessionContext.connectionStatusChanged.connect((_session, status) => {
        if (status === "connected") follow(context);
        if (status === "disconnected") goOn(context);
      });
      context.sessionContext.statusChanged.connect((_session, status) => {
        if (!["autorestarting", "dead"].includes(status)) return;
        died = "";
        follow(context);
      });
      await context.sessionContext.ready;
      follow(context);
    };
    app.shell.currentChanged?.connect(look);
    app.restored.then(look);
  },
};
