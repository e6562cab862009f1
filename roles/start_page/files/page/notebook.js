"use strict";
// On Jupyter's own pages: a way back to the start page, in place of the logo; how much memory is free; the teacher's
// message; why a lesson's program died, in words; and printed lines that break between words. A notebook is saved when its
// page is left, and when a message comes, since the Pi may be switched off next. A “prebuilt extension” of JupyterLab's,
// written by hand: a container with one module.
(() => {
  const EVERY = 30_000; // milliseconds
  const PATIENCE = 60_000;
  const SHORT = 60; // MB that are too few for what a lesson does
  const HOUSE = "M2 8.5 8 3l6 5.5M4 7.5V13h8V7.5";
  const top = JSON.parse(document.getElementById("jupyter-config-data").textContent).baseUrl;
  // Jupyter breaks what is printed in the middle of a word, which on a phone is every line; it breaks what is drawn with
  // letters, too, and cuts formulas off. What is too wide can be swiped.
  const PAGE = "body .jp-ThemedContainer";
  const STYLE = `
    ${PAGE} .jp-OutputArea-output pre { word-break: normal; overflow-wrap: normal }
    ${PAGE} .jp-RenderedMarkdown pre, ${PAGE} .jp-RenderedMarkdown pre code { white-space: pre; overflow-x: auto }
    ${PAGE} .jp-RenderedMarkdown details { margin-bottom: 1em }
    ${PAGE} mjx-container[display="true"] { overflow: auto hidden }
    @media (max-width: 500px) {
      ${PAGE} .jp-OutputArea-output pre, ${PAGE} .jp-RenderedMarkdown pre { margin-inline: 0; font-size: 11px }
      .jp-NotebookTrustedStatus { display: none } /* it hides two menus */
    }
  `;
  let shared = {};

  /** One of the libraries that the page has loaded anyway. */
  const library = async (name) => (await Object.values(shared[name])[0].get())();

  /** What the start page knows; null if the Pi does not answer. */
  async function asked() {
    try {
      const answer = await fetch(`${top}start/status`, { signal: AbortSignal.timeout(PATIENCE) });
      return answer.ok && !answer.redirected ? await answer.json() : null;
    } catch {
      return null;
    }
  }

  function home(words) {
    const link = document.createElement("a");
    link.href = `${top}start/`;
    link.target = "mynn-start"; // the tab with the start page, if there is one
    link.title = "Back to the start page";
    Object.assign(link.style, {
      display: "flex",
      alignItems: "center",
      alignSelf: "center",
      height: "24px",
      gap: "6px",
      padding: "2px 8px 2px 12px",
      color: "var(--jp-ui-font-color1)",
      textDecoration: "none",
      font: "600 15px var(--jp-ui-font-family)",
    });
    const icon = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    for (const [name, value] of Object.entries({ viewBox: "0 0 16 16", width: 20, height: 20, "aria-hidden": "true" }))
      icon.setAttribute(name, value);
    const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
    for (const [name, value] of Object.entries({ d: HOUSE, fill: "none", stroke: "currentColor", "stroke-width": 1.6 }))
      line.setAttribute(name, value);
    icon.append(line);
    link.setAttribute("aria-label", "Lessons");
    link.append(icon, words);
    return link;
  }

  function gauge() {
    const place = document.createElement("span");
    Object.assign(place.style, {
      alignSelf: "center",
      padding: "0 8px",
      whiteSpace: "nowrap",
      font: "13px var(--jp-ui-font-family)",
    });
    return place;
  }

  function showMemory(place, memory) {
    const short = memory.free < SHORT;
    place.textContent = `${memory.free} MB free`;
    place.title = short ? "Memory is short. End other lessons on the start page." : "Memory that is left on this Pi";
    place.style.color = short ? "var(--jp-error-color1)" : "var(--jp-ui-font-color2)";
  }

  /** A line at the bottom of the page, which a click puts away. */
  function note() {
    const place = document.createElement("div");
    place.id = "mynn-message";
    place.setAttribute("role", "status");
    place.hidden = true;
    Object.assign(place.style, {
      position: "fixed",
      zIndex: 10000,
      left: "50%",
      bottom: "16px",
      transform: "translateX(-50%)",
      boxSizing: "border-box",
      width: "max-content",
      maxWidth: "calc(100% - 32px)",
      padding: "10px 16px",
      borderRadius: "12px",
      cursor: "pointer",
      background: "var(--jp-inverse-layout-color1, #222)",
      color: "var(--jp-ui-inverse-font-color0, #fff)",
      boxShadow: "0 2px 12px #0006",
      font: "600 17px/1.35 var(--jp-ui-font-family)",
      overflowWrap: "anywhere",
    });
    place.title = "From your teacher. Click to put it away.";
    place.addEventListener("click", () => (place.hidden = true));
    document.body.append(place);
    return place;
  }

  /** Show a message that is new; return whether it is. */
  function showMessage(place, message) {
    const isNew = Boolean(message) && place.textContent !== message.text;
    if (isNew) place.textContent = message.text;
    if (isNew || !message) place.hidden = !message;
    if (!message) place.textContent = "";
    return isNew;
  }

  /** Ask, every half minute while the page can be seen. */
  async function keepLooking(app, memory, message) {
    const status = document.hidden ? null : await asked();
    if (status) {
      showMemory(memory, status.memory);
      if (showMessage(message, status.message)) save(app);
    }
    setTimeout(() => keepLooking(app, memory, message), EVERY);
  }

  function save(app) {
    const context = app.shell.currentWidget?.context;
    if (context?.model?.dirty && !context.model.readOnly) context.save().catch(() => {}); // Jupyter says what is wrong
  }

  /** Write into Jupyter's dialog, which says that the kernel has died, why that was. */
  async function explain(kernel) {
    const why = (await asked())?.running.find((program) => program.kernel === kernel)?.died;
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
      document.head.append(Object.assign(document.createElement("style"), { textContent: STYLE }));
      const { Widget } = await library("@lumino/widgets");
      const add = (id, node, area, rank) => {
        const widget = new Widget({ node });
        widget.id = id;
        app.shell.add(widget, area, { rank });
        return widget;
      };
      add("mynn-home", home("Lessons"), "top", 0);
      const memory = gauge();
      add("mynn-memory", memory, "top", 900);
      keepLooking(app, memory, note());
      document.addEventListener("visibilitychange", () => document.hidden && save(app));
      // On a phone, Jupyter hides the top.
      const small = add("mynn-small-home", home(""), "menu", 0);
      small.node.style.alignSelf = "flex-start"; // as the menus
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
