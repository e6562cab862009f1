// Script of the start page: shows the answer of `status`. Addresses are relative, so the page works below any path.
// Names and titles become text or parts of addresses, never HTML.

import { _, inFigures, ngettext } from "./translation.js";

const EVERY = 10_000; // milliseconds between two requests while the page is visible
const PATIENCE = 60_000; // a Pi Zero that is training answers late
const LARGEST_UPLOAD = 15e6; // bytes that Jupyter takes in one piece
const ROOM = 100; // MB that a lesson needs
const TEXT = /\.(csv|json|md|py|txt)$/i;

// Translators: as the lessons' titles begin, such as "Part 2: a neural network"
const BEGINNINGS = ["Part", "Lesson", _("Part"), _("Lesson")]; // a lesson may not be translated yet
const TITLE = new RegExp(`^((?:${BEGINNINGS.join("|")})[^:]{0,40}): (.+)$`);

const $ = (id) => document.getElementById(id);
const escaped = (path) => path.split("/").map(encodeURIComponent).join("/");

/** Make an element with attributes and children; false, empty or null ones are left out. */
function make(kind, attributes, ...children) {
  const element = document.createElement(kind);
  for (const [name, value] of Object.entries(attributes)) if (value) element.setAttribute(name, value);
  element.append(...children.filter(Boolean));
  return element;
}

/** Send a request to this server; an Error's message is a sentence. */
async function ask(address, method = "GET", body = undefined) {
  const xsrf = /(?:^|; )_xsrf=([^;]+)/.exec(document.cookie)?.[1];
  let answer;
  try {
    answer = await fetch(address, {
      method,
      cache: "no-store",
      body: body && JSON.stringify(body),
      headers: xsrf ? { "X-XSRFToken": xsrf } : {},
      signal: AbortSignal.timeout(PATIENCE),
    });
  } catch {
    throw new Error(_("The Pi does not answer. It may be busy: this page tries again by itself."));
  }
  if (answer.redirected || answer.status === 403) {
    location.reload(); // to sign in
    throw new Error(_("Please sign in again."));
  }
  return answer;
}

/** Send a request that must succeed; return its JSON. */
async function demand(...question) {
  const answer = await ask(...question);
  if (!answer.ok) throw new Error(_("The Pi cannot do this now (status {status}).", answer));
  return answer.status === 204 ? null : answer.json();
}

/** Show an error at the top of the page; an empty text hides it. */
function showTrouble(text) {
  if ($("trouble").textContent !== text) $("trouble").textContent = text; // each change is read aloud
  $("trouble").hidden = !text;
}

/** Make a button that calls `act`, once at a time, and then refreshes the page. */
function button(words, kind, act) {
  const made = make("button", { type: "button", class: kind }, words);
  made.addEventListener("click", async () => {
    made.disabled = true;
    try {
      await act();
      await look();
    } catch (error) {
      showTrouble(error.message);
    }
    made.disabled = false;
  });
  return made;
}

/** Make a link to a page in its own tab. An open page is not loaded again, since its outputs would be lost. */
function link(words, address, name, kind = "", label = "") {
  const made = make("a", { href: address, target: name, class: kind, "aria-label": label }, words);
  made.addEventListener("click", (event) => {
    const tab = event.ctrlKey || event.metaKey || event.shiftKey ? null : window.open("", name);
    if (!tab) return; // the browser follows the link itself
    event.preventDefault();
    let shows = "";
    try {
      shows = tab.location.pathname;
    } catch {
      // the tab shows another site
    }
    if (shows !== made.pathname) tab.location = made.href;
    tab.focus();
  });
  return made;
}

function showMemory({ free, total }) {
  const [state, room] =
    free >= 2 * ROOM
      ? ["plenty", _("There is room for more lessons.")]
      : free >= ROOM
        ? ["some", _("There is room for one more lesson.")]
        : ["full", _("End a lesson before you start another one.")];
  $("memory").className = state;
  $("memory-used").style.width = `${Math.round(100 * (1 - free / total))}%`;
  const memory = _("Memory: {free} of {total} MB free.", { free, total });
  $("memory-words").textContent = `${memory} ${room}`;
}

/** Show the teacher's message, until it is removed or its time is over. */
function showMessage(message) {
  if (message) {
    const { text, minutes } = message;
    // Write only changes, since they are read aloud.
    if ($("message-text").textContent !== text) $("message-text").textContent = text;
    $("message-when").textContent = minutes ? _("Your teacher, {minutes} min ago", { minutes }) : _("Your teacher, just now");
  }
  $("message").hidden = !message;
}

/** Show the lines to this pupil that were not read. */
function showTold({ lines }) {
  const shown = lines.map(({ number, text }) =>
    make("p", { role: "status" }, make("strong", {}, text), " ", make("span", {}, _("From your teacher, for you")), " ",
      button(_("Read"), "", () => demand("talk", "POST", { read: number }))));
  if ($("told").textContent !== shown.map((line) => line.textContent).join("")) $("told").replaceChildren(...shown);
}

function runningInWords({ busy, memory }) {
  if (memory === null) return busy ? _("Working") : _("Running");
  return busy ? _("Working, takes {memory} MB", { memory }) : _("Running, takes {memory} MB", { memory });
}

/** Make the text about a running program, with its memory, and a button to end it. */
function running(program) {
  if (!program) return [];
  return [
    make("span", { class: "runs" }, runningInWords(program)),
    // Translators: on a button, which ends a lesson's program
    button(_("End"), "end", async () => {
      const question = _("It is still working. End it? What its cells have computed is lost; what you wrote and saved stays.");
      // Ask again, since the page may be ten seconds old.
      const now = (await demand("status")).running.find(({ session }) => session === program.session);
      if (now?.busy && !confirm(question)) return;
      const answer = await ask(`../api/sessions/${escaped(program.session)}`, "DELETE");
      if (!answer.ok && answer.status !== 404) throw new Error(_("It could not be ended. Try again in a minute."));
    }),
  ];
}

const died = (program) => program?.died && make("p", { class: "died" }, program.died);

/** Describe the progress in a lesson. It is done when it was run as far as More and all of its tasks are right. */
function standing({ tasks, right, tried, end, done }) {
  const all = () => ngettext("{count} task", "{count} tasks", tasks);
  const some = () => ngettext("{right} of {count} task", "{right} of {count} tasks", tasks, { right });
  const words = [done ? _("✓ Done") : right || tried || end ? some() : tasks && all()];
  // Translators: stands after "3 of 4 tasks, "
  words.push(tried && _("{tried} not right yet", { tried }));
  if (end && end.score !== null) {
    const places = { percent: inFigures(100 * end.score, 1), count: end.tested && inFigures(end.tested) };
    // Translators: stands after "✓ Done, " or "3 of 4 tasks, ". {count} may be 1.
    const ofSome = _("{percent} % of {count} digits recognised", places);
    words.push(end.tested ? ofSome : _("{percent} % recognised", places));
  }
  return make("span", { class: done ? "done" : "" }, words.filter(Boolean).join(", "));
}

/** Return how long the lesson computes: as measured here the last time, or else by its author. */
function duration({ minutes, end }) {
  const here = end?.seconds && Math.ceil(end.seconds / 60);
  if (here) return ngettext("It took this Pi {count} minute the last time", "It took this Pi {count} minutes the last time", here);
  return minutes ? ngettext("{count} minute on a Pi Zero", "{count} minutes on a Pi Zero", minutes) : "";
}

function card(lesson, program, next) {
  const [, part, rest] = TITLE.exec(lesson.title) ?? [null, "", lesson.title];
  const title = rest[0].toUpperCase() + rest.slice(1);
  const [word, label] = program
    ? [_("Continue"), _("Continue: {title}", { title })]
    : lesson.end
      ? [_("Open again"), _("Open again: {title}", { title })]
      : [_("Start"), _("Start: {title}", { title })];
  const picture = make("img", { src: lesson.picture });
  picture.alt = "";
  return make(
    "li",
    { class: next ? "lesson next" : "lesson" },
    picture,
    make(
      "div",
      { class: "words" },
      make("p", { class: "part" }, lesson.lesson ? _("Lesson {number}", { number: lesson.lesson }) : part),
      make("h3", {}, title),
      lesson.learn && make("p", {}, lesson.learn),
      make("p", { class: "minutes" }, duration(lesson)),
      died(program),
      make(
        "div",
        { class: "foot" },
        standing(lesson),
        ...running(program),
        lesson.there
          ? link(word, `../notebooks/${escaped(lesson.name)}`, `mynn-${lesson.name}`, "button open", label)
          : button(_("Put it back"), "", () => demand("lesson", "POST", { name: lesson.name })),
        lesson.changed && button(_("Begin afresh"), "", () => beginAfresh(lesson, program)),
      ),
    ),
  );
}

/** After a confirmation, put the lesson as it is among the pupil's files, and an untouched one in its place. */
async function beginAfresh({ name }, program) {
  if (!confirm(_("Begin this lesson afresh? Your own stays: it is among your files then, with today’s date in its name."))) return;
  if (program) await ask(`../api/sessions/${escaped(program.session)}`, "DELETE");
  const [own, now] = [name.split("/").pop(), new Date().toLocaleString("sv").replaceAll(":", ".")]; // 2026-12-24 18.00.00
  await demand(`../api/contents/${escaped(name)}`, "PATCH", { path: own.replace(/\.ipynb$/, ` (${now}).ipynb`) });
  await demand("lesson", "POST", { name });
}

function entry({ name, kind, size }, program) {
  const view = { folder: "tree", notebook: "notebooks" }[kind] ?? (TEXT.test(name) ? "edit" : "files");
  const words = kind === "folder" ? _("Folder") : _("{size} kB", { size: Math.max(1, Math.round(size / 1000)) });
  return make(
    "li",
    {},
    link(name, `../${view}/${escaped(name)}`, `mynn-${name}`),
    make("span", { class: "size" }, words),
    ...running(program),
    died(program),
  );
}

const shown = new Map(); // by list and name: the facts as JSON, and their element

/** Show a list. Unchanged elements stay, so that nothing changes under a finger. */
function showList(list, facts, element) {
  const all = facts.map((own) => {
    const [key, text] = [`${list.id} ${own[0].name}`, JSON.stringify(own)];
    if (shown.get(key)?.text !== text) shown.set(key, { text, element: element(...own) });
    return shown.get(key).element;
  });
  const same = all.length === list.children.length && all.every((one, place) => one === list.children[place]);
  if (!same) list.replaceChildren(...all);
}

function show(status) {
  showTrouble(status.trouble);
  $("pi").textContent = status.pi;
  showMemory(status.memory);
  showMessage(status.message);
  showTold(status.talk);
  showLanguages(status);
  const program = (name) => status.running.find(({ path }) => path === name);
  const next = status.lessons.find((lesson) => lesson.there && !lesson.end);
  showList($("lessons"), status.lessons.map((lesson) => [lesson, program(lesson.name), lesson === next]), card);
  showList($("files"), status.files.map((file) => [file, program(file.name)]), entry);
  $("none").hidden = status.files.length > 0;
  $("yours").hidden = false;
}

/** Fill the list of languages once, each with its own name for itself. */
function showLanguages({ language, languages }) {
  const choice = $("language");
  if (choice.options.length) return;
  for (const [code, name] of Object.entries(languages)) {
    choice.add(Object.assign(new Option(name, code), { lang: code, selected: code === language }));
  }
  choice.hidden = false;
}

$("language").addEventListener("change", async () => {
  try {
    await demand("language", "POST", { language: $("language").value });
    location.reload();
  } catch (error) {
    showTrouble(error.message);
  }
});

let looked = Promise.resolve();

/** Fetch the Pi's status and show it, one request at a time, so that no late answer hides a newer one. */
function look() {
  looked = looked.catch(() => {}).then(async () => show(await demand("status")));
  return looked;
}

/** Return an unused file name: "a.csv", "a (2).csv". */
async function free(name) {
  const clean = name.replace(/[/\\]/g, "_").replace(/^\.+/, "") || "file";
  const [, stem, ending] = /^(.+?)(\.[^.]*)?$/.exec(clean);
  for (let number = 1; ; number++) {
    const candidate = number === 1 ? clean : `${stem} (${number})${ending ?? ""}`;
    if ((await ask(`../api/contents/${escaped(candidate)}?content=0`)).status === 404) return candidate;
  }
}

function encoded(file) {
  return new Promise((resume, refuse) => {
    const reader = new FileReader();
    reader.onload = () => resume(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => refuse(new Error(_("{name} cannot be read.", file)));
    reader.readAsDataURL(file);
  });
}

async function upload(file) {
  if (file.size > LARGEST_UPLOAD) return _("{name} is too large for this page. Upload it in “All files”.", file);
  const name = await free(file.name);
  const body = { type: "file", format: "base64", content: await encoded(file) };
  await demand(`../api/contents/${escaped(name)}`, "PUT", body);
  if (/\.hei[cf]$/i.test(name)) return _("{name} is here, but lessons cannot read a HEIC photo. Take photos in lesson 8, or let the camera make JPEGs (on an iPhone: Formats, Most Compatible).", { name });
  return name === file.name ? _("{name} is here.", { name }) : _("{file} is here, as {name}.", { file: file.name, name });
}

$("upload").addEventListener("change", async () => {
  const lines = [];
  for (const file of [...$("upload").files]) {
    $("result").textContent = [...lines, _("{name} is being uploaded …", file)].join("\n");
    const failed = _("{name} was not uploaded.", file);
    lines.push(await upload(file).catch((error) => `${failed} ${error.message}`));
  }
  $("upload").value = "";
  $("result").textContent = lines.join("\n");
  look().catch((error) => showTrouble(error.message));
});

$("make").prepend(
  button(_("New notebook"), "", async () => {
    const tab = window.open("", "_blank"); // at once: later, the browser would block it as a pop-up
    try {
      const { path } = await demand("../api/contents", "POST", { type: "notebook" });
      tab.location = new URL(`../notebooks/${escaped(path)}`, location.href);
    } catch (error) {
      tab?.close();
      throw error;
    }
  }),
);

/** Refresh the page now, and every ten seconds while it is visible. */
async function watch() {
  if (!document.hidden) await look().catch((error) => showTrouble(error.message));
  setTimeout(watch, EVERY);
}

window.name = "mynn-start"; // the lessons' link back opens this tab
// Refresh when a pupil comes back from a lesson.
document.addEventListener("visibilitychange", () => document.hidden || look().catch(() => {}));
watch();
