// Plugin for Jupyter's pages that prevents lost work. Each save names the version that it was made from. If another page
// has saved the file meanwhile, the server keeps both (contents.py), and this page says so. The server also sends
// outputs that were missed while the page was closed or offline, and why the kernel died (output_store.py).

import { addLine, ask } from "./plugins.js";
import { _ } from "./translation.js";

const EVERY = 1500; // milliseconds between two requests
const PAGE = crypto.getRandomValues(new Uint32Array(4)).join("-");
const wait = (milliseconds) => new Promise((resume) => setTimeout(resume, milliseconds));
const nameOf = (path) => path.split("/").pop();
let latest; // identifies the latest call of `follow`
let died = ""; // why the kernel died, if it did

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
    const dialog = document.querySelector(".jp-Dialog .jp-Dialog-body");
    if (dialog) return void (dialog.textContent = why);
    await wait(100);
  }
  if (isNews) tell(why);
}

/** Let each save name the version that it was made from. JupyterLab's own check for conflicts then finds nothing. */
function guard(contents, kernelOf) {
  const versions = new Map(); // by path: where this page saves, and the version there
  const get = contents.get.bind(contents);
  const save = contents.save.bind(contents);
  contents.get = async (path, options) => {
    const known = versions.get(path);
    if (options?.content === false && known) {
      const model = await get(known.path, { ...options, hash: false });
      return { ...model, path, name: nameOf(path), hash: known.hash };
    }
    const model = await get(path, options);
    if (model.hash && options?.content !== false) versions.set(path, { path, hash: model.hash });
    return model;
  };
  contents.save = async (path, options) => {
    const known = versions.get(path);
    if (!known) return save(path, options);
    const model = await save(known.path, { ...options, made_from: known.hash, page: PAGE, kernel: kernelOf(path) });
    const there = model.serverPath ?? model.path;
    versions.set(path, { path: there, hash: model.hash });
    if (there !== known.path) {
      const names = { theirs: nameOf(known.path), ours: nameOf(there) };
      tell(_("Another page has changed “{theirs}” since you opened this one. Both are kept. What you do here is now saved as “{ours}”. “{theirs}” belongs to the other page. Both are on the start page.", names));
    }
    return { ...model, path, name: nameOf(path) };
  };
  contents.fileChanged.connect((_contents, { type, oldValue, newValue }) => {
    const known = versions.get(oldValue?.path);
    if (type !== "rename" || !known) return;
    versions.delete(oldValue.path);
    const isHere = known.path === oldValue.path;
    versions.set(newValue.path, { ...known, path: isHere ? newValue.path : known.path });
  });
}

/** Put a run's outputs into its cell; return whether they are new. */
function show(cell, run, isFollowed) {
  if (cell?.type !== "code") return false;
  const isThere = cell.executionCount === run.count && cell.outputs.length >= run.outputs.length;
  if (isThere && !run.running && !isFollowed) return false;
  cell.trusted = true; // as if it were run here
  cell.outputs.fromJSON(run.outputs);
  cell.executionCount = run.running ? null : run.count;
  cell.executionState = run.running ? "running" : "idle";
  return true;
}

/** Poll for outputs of runs that this page has not begun, or has partly missed, until the kernel is idle. */
async function follow(context) {
  const { kernel } = context.sessionContext.session ?? {};
  const cells = () => [...context.model.cells];
  const followed = new Set();
  const mine = (latest = Symbol());
  let [since, isNews, quiet] = [0, false, 0];
  for (let turn = 0; kernel && quiet < 2 && !context.isDisposed; turn++) {
    if (turn) await wait(EVERY);
    const answer = await ask(`missed?kernel=${kernel.id}&since=${since}`);
    if (mine !== latest || kernel.connectionStatus !== "connected") return; // a new connection starts a new poll
    for (const run of answer?.runs ?? []) {
      if (turn && run.page === kernel.clientId && !followed.has(run.request)) continue;
      isNews = show(cells().find(({ id }) => id === run.cell), run, followed.has(run.request)) || isNews;
      if (run.running) followed.add(run.request);
    }
    if (answer) explain(answer.died);
    since = answer?.changes ?? since;
    quiet = answer && !answer.busy ? quiet + 1 : 0;
  }
  if (isNews) context.save().catch(() => {}); // Jupyter shows the error
}

export const plugin = {
  id: "mynn:keep",
  autoStart: true,
  activate: (app) => {
    const contexts = new Set();
    const kernelOf = (path) =>
      [...contexts].find((context) => context.path === path)?.sessionContext.session?.kernel?.id;
    guard(app.serviceManager.contents, kernelOf);
    const look = async () => {
      const context = app.shell.currentWidget?.context;
      if (!context?.model?.cells || contexts.has(context)) return;
      contexts.add(context);
      await context.ready;
      context.sessionContext.connectionStatusChanged.connect((_session, status) => {
        if (status === "connected") follow(context);
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
