"use strict";
// On Jupyter's own pages: a bar for pupils (bar.js), with how much memory is free where it is short; the teacher's message;
// and printed lines that break between words. A notebook is saved when its page is left, and when a message comes, since
// the Pi may be switched off next. A “prebuilt extension” of JupyterLab's, written by hand: a container with one module.
// Its style is in notebook.css.
(() => {
  const EVERY = 30_000; // milliseconds
  const PATIENCE = 60_000;
  const top = JSON.parse(document.getElementById("jupyter-config-data").textContent).baseUrl;
  let shared = {};
  let _; // of words.js

  /** One of the libraries that the page has loaded anyway. */
  const library = async (name) => (await Object.values(shared[name])[0].get())();

  const make = (kind, properties) => Object.assign(document.createElement(kind), properties);

  /** What the start page knows; null if the Pi does not answer. */
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

  /** A line at the bottom of the page, which a press puts away. */
  function note() {
    const title = _("From your teacher. Press to put it away.");
    const place = make("button", { id: "mynn-message", hidden: true, title });
    place.setAttribute("role", "status");
    place.addEventListener("click", () => (place.hidden = true));
    document.body.append(place);
    return place;
  }

  /** Show a message that is new; return whether it is. */
  function showMessage(place, message) {
    const text = message?.text ?? "";
    const isNew = place.textContent !== text;
    if (isNew) {
      place.textContent = text;
      place.hidden = !text;
    }
    return isNew && Boolean(text);
  }

  /** Ask, every half minute while the page can be seen. */
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
    if (context?.model?.dirty && !context.model.readOnly) context.save().catch(() => {}); // Jupyter shows what is wrong
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
