"use strict";
// On Jupyter's own pages: a way back to the start page, in place of the logo; how much memory is free; the teacher's
// message; why a lesson's program died, in words; and printed lines that break between words. A notebook is saved when its
// page is left, and when a message comes, since the Pi may be switched off next. A “prebuilt extension” of JupyterLab's,
// written by hand: a container with one module. Its style is in notebook.css.
(() => {
  const EVERY = 30_000; // milliseconds
  const PATIENCE = 60_000;
  const SHORT = 60; // MB that are too few for what a lesson does
  const HOUSE =
    '<svg viewBox="0 0 16 16" width="20" height="20" aria-hidden="true">' +
    '<path d="M2 8.5 8 3l6 5.5M4 7.5V13h8V7.5" fill="none" stroke="currentColor" stroke-width="1.6"/></svg>';
  const top = JSON.parse(document.getElementById("jupyter-config-data").textContent).baseUrl;
  let shared = {};

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

  /** A link to the start page, in its tab if there is one. */
  function home(words) {
    const title = "Back to the start page";
    const link = make("a", { className: "mynn-home", href: `${top}start/`, target: "mynn-start", title, innerHTML: HOUSE });
    link.setAttribute("aria-label", "Lessons");
    link.append(words);
    return link;
  }

  function showMemory(place, { free }) {
    place.textContent = `${free} MB free`;
    place.classList.toggle("mynn-short", free < SHORT);
    place.title = free < SHORT ? "Memory is short. End other lessons on the start page." : "Memory that is left on this Pi";
  }

  /** A line at the bottom of the page, which a click puts away. */
  function note() {
    const title = "From your teacher. Click to put it away.";
    const place = make("div", { id: "mynn-message", hidden: true, title });
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

  /** Write into Jupyter's dialog, which says that the kernel has died, why that was. */
  async function explain(kernel) {
    const why = (await ask())?.running.find((program) => program.kernel === kernel)?.died;
    for (let tenths = 0; why && tenths < 50; tenths++) {
      const body = document.querySelector(".jp-Dialog .jp-Dialog-body");
      if (body) return void (body.textContent = why);
      await new Promise((resume) => setTimeout(resume, 100));
    }
  }

  const plugin = {
    id: "mynn-start-page:notebook",
    autoStart: true,
    activate: async (app) => {
      document.head.append(make("link", { rel: "stylesheet", href: `${top}start/notebook.css` }));
      const { Widget } = await library("@lumino/widgets");
      const add = (id, node, area, rank) => {
        const widget = new Widget({ node });
        widget.id = id;
        app.shell.add(widget, area, { rank });
        return widget;
      };
      add("mynn-home", home("Lessons"), "top", 0);
      const memory = make("span", {});
      add("mynn-memory", memory, "top", 900);
      keepLooking(app, memory, note());
      document.addEventListener("visibilitychange", () => document.hidden && save(app));
      // On a phone, Jupyter hides the top.
      const small = add("mynn-small-home", home(""), "menu", 0);
      const fit = () => small.setHidden(app.format !== "mobile");
      app.formatChanged.connect(fit);
      fit();
      // Not awaited: the page is shown only after this function.
      app.restored.then(() => {
        const session = app.shell.currentWidget?.sessionContext;
        session?.statusChanged.connect((_, status) => {
          if (status === "autorestarting" || status === "dead") explain(session.session?.kernel?.id);
        });
      });
    },
  };

  window._JUPYTERLAB = window._JUPYTERLAB || {};
  window._JUPYTERLAB["mynn-start-page"] = {
    init: (libraries) => void (shared = libraries),
    get: async () => () => ({ __esModule: true, default: [plugin] }),
  };
})();
