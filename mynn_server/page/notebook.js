"use strict";
// Prebuilt JupyterLab extension, written by hand: a module federation container with one module. Its style is in
// notebook.css. It adds to Jupyter's pages the bar for pupils (bar.js), with the free memory if that is short, and the
// teacher's message. It saves a notebook when its page is left or a message comes: the Pi may be switched off next.
(() => {
  const EVERY = 30_000; // milliseconds between two requests
  const PATIENCE = 60_000;
  const top = JSON.parse(document.getElementById("jupyter-config-data").textContent).baseUrl;
  let shared = {};
  let _; // translates; from words.js

  /** Return a library that the page has loaded anyway. */
  const library = async (name) => (await Object.values(shared[name])[0].get())();

  const make = (kind, properties) => Object.assign(document.createElement(kind), properties);

  /** Fetch the start page's status; null if the Pi does not answer. */
  async function ask() {
    try {
      const answer = await fetch(`${top}start/status`, { signal: AbortSignal.timeout(PATIENCE) });
      return answer.ok && !answer.redirected ? await answer.json() : null;
    } catch {
      return null;
    }
  }

  function showMemory(place, { free, short }) {
    place.hidden = free >= short;
    place.textContent = _("{free} MB free", { free });
    place.title = _("Memory is short. End other lessons on the start page.");
  }

  /** Add a line at the bottom of the page; a press hides it. */
  function note() {
    const title = _("From your teacher. Press to put it away.");
    const place = make("button", { id: "mynn-message", hidden: true, title });
    place.setAttribute("role", "status");
    place.addEventListener("click", () => (place.hidden = true));
    document.body.append(place);
    return place;
  }

  /** Show the message; return whether it is new. */
  function showMessage(place, message) {
    const text = message?.text ?? "";
    const isNew = place.textContent !== text;
    if (isNew) {
      place.textContent = text;
      place.hidden = !text;
    }
    return isNew && Boolean(text);
  }

  /** Fetch and show the status every half minute while the page is visible. */
  async function keepLooking(app, memory, message) {
    const status = document.hidden ? null : await ask();
    if (status) {
      showMemory(memory, status.memory);
      if (showMessage(message, status.message)) save(app);
    }
    setTimeout(() => keepLooking(app, memory, message), EVERY);
  }

  function save(app) {
    const context = app.shell.currentWidget?.context;
    if (context?.model?.dirty && !context.model.readOnly) context.save().catch(() => {}); // Jupyter shows the error
  }

  const plugin = {
    id: "mynn-start-page:notebook",
    autoStart: true,
    activate: async (app) => {
      document.head.append(make("link", { rel: "stylesheet", href: `${top}start/notebook.css` }));
      ({ _ } = await import(`${top}start/words.js`));
      document.documentElement.style.setProperty("--mynn-show-code", JSON.stringify(_("show the code")));
      const { addBar } = await import(`${top}start/bar.js`);
      const memory = await addBar(app, library, top);
      keepLooking(app, memory, note());
      document.addEventListener("visibilitychange", () => document.hidden && save(app));
    },
  };

  window._JUPYTERLAB = window._JUPYTERLAB || {};
  window._JUPYTERLAB["mynn-start-page"] = {
    init: (libraries) => void (shared = libraries),
    get: async () => () => ({ __esModule: true, default: [plugin] }),
  };
})();
