"use strict";
// Shows what `status` says of this Pi, and the student's files. Addresses are relative, so the page works below any path.
// Names and titles become text or parts of addresses, never HTML.

const EVERY = 10_000; // milliseconds between two questions, while the page can be seen
const PATIENCE = 60_000; // a Pi Zero that is training answers late
const LARGEST_UPLOAD = 15e6; // bytes that Jupyter takes in one piece
const ROOM = 100; // MB that a lesson needs
const OURS = ["my_progress.json", "my_progress.damaged.json", "on_the_wall.json"]; // what the lessons write for us
const TEXT = /\.(csv|json|md|py|txt)$/i;

const $ = (id) => document.getElementById(id);

/** Make an element with attributes, text and children; what is false or null is left out. */
function make(kind, attributes, ...children) {
  const element = document.createElement(kind);
  for (const [name, value] of Object.entries(attributes)) if (value) element.setAttribute(name, value);
  element.append(...children.filter(Boolean));
  return element;
}

/** Ask this server; an Error is a sentence. */
async function ask(address, method = "GET", body = undefined) {
  const against = /(?:^|; )_xsrf=([^;]+)/.exec(document.cookie);
  let answer;
  try {
    answer = await fetch(address, {
      method,
      // Jupyter dates a folder's list by the folder, so a browser keeps the list of an old folder for hours.
      cache: "no-store",
      body: body && JSON.stringify(body),
      headers: against ? { "X-XSRFToken": against[1] } : {},
      signal: AbortSignal.timeout(PATIENCE),
    });
  } catch {
    throw new Error("The Pi does not answer. It may be busy: this page tries again by itself.");
  }
  if (answer.redirected || answer.status === 403) {
    location.reload(); // to sign in
    throw new Error("Please sign in again.");
  }
  return answer;
}

async function asked(...question) {
  const answer = await ask(...question);
  if (!answer.ok) throw new Error(`The Pi cannot do this now (status ${answer.status}).`);
  return answer.status === 204 ? null : answer.json();
}

const addressed = (path) => path.split("/").map(encodeURIComponent).join("/");
const tell = (text) => ($("told").textContent = text);

/** Show what went wrong at the top of the page, until something goes right. */
function trouble(text) {
  $("trouble").textContent = text;
  $("trouble").hidden = !text;
}

/** Let a button do something once at a time; then look again. */
function button(words, kind, act) {
  const made = make("button", { type: "button", class: kind }, words);
  made.addEventListener("click", async () => {
    made.disabled = true;
    try {
      await act();
      await look();
    } catch (error) {
      trouble(error.message);
    }
    made.disabled = false;
  });
  return made;
}

/** A link to a page in a tab of its own. If it is open already, it is not loaded again: what it shows would be lost. */
function link(words, address, name, kind = "", label = "") {
  const made = make("a", { href: address, target: name, class: kind, "aria-label": label }, words);
  made.addEventListener("click", (event) => {
    const tab = event.ctrlKey || event.metaKey || event.shiftKey ? null : window.open("", name);
    if (!tab) return; // as the browser does it
    event.preventDefault();
    let shows = "";
    try {
      shows = tab.location.pathname;
    } catch {
      // the page of another site
    }
    if (shows !== made.pathname) tab.location = made.href;
    tab.focus();
  });
  return made;
}

function showMemory({ free, total }) {
  const state = free >= 2 * ROOM ? "plenty" : free >= ROOM ? "some" : "full";
  const room = {
    plenty: "There is room for more lessons.",
    some: "There is room for one more lesson.",
    full: "End a lesson before you start another one.",
  }[state];
  $("memory").className = state;
  $("memory-used").style.width = `${Math.round(100 * (1 - free / total))}%`;
  $("memory-words").textContent = `Memory: ${free} of ${total} MB free. ${room}`;
  $("memory").hidden = false;
}

/** Show what the teacher tells the class, until it is removed or its time is over. */
function showMessage(message) {
  if (message) {
    const { text, minutes } = message;
    // Only what changes: it is read aloud.
    if ($("message-text").textContent !== text) $("message-text").textContent = text;
    $("message-when").textContent = `Your teacher, ${minutes ? `${minutes} min ago` : "just now"}`;
  }
  $("message").hidden = !message;
}

/** What runs for a notebook: how much it takes, a button to end it, and a sentence if it has died. */
function running(program) {
  if (!program) return [];
  const takes = program.memory === null ? "" : `, takes ${program.memory} MB`;
  return [
    make("span", { class: "runs" }, `${program.busy ? "Working" : "Running"}${takes}`),
    button("End", "end", async () => {
      const saved = "What its cells have computed is lost; what you wrote and saved stays.";
      if (program.busy && !confirm(`It is still working. End it? ${saved}`)) return;
      const answer = await ask(`../api/sessions/${encodeURIComponent(program.session)}`, "DELETE");
      if (!answer.ok && answer.status !== 404) throw new Error("It could not be ended. Try again in a minute.");
    }),
  ];
}

const died = (program) => program?.died && make("p", { class: "died" }, program.died);

const without = new Set(); // pictures that are not there

function card(lesson, program, next) {
  const [, part, rest] = /^((?:Part|Lesson)[^:]{0,40}): (.+)$/.exec(lesson.title) ?? [null, "", lesson.title];
  const title = rest[0].toUpperCase() + rest.slice(1);
  const stem = lesson.name.replace(/\.ipynb$/, "");
  // A lesson in two halves has one picture.
  const own = `pictures/${encodeURIComponent(stem.replace(/_\d+$/, ""))}.svg`;
  const picture = make("img", { src: without.has(own) ? "pictures/lesson.svg" : own });
  picture.alt = "";
  picture.addEventListener(
    "error",
    () => {
      without.add(own);
      picture.src = "pictures/lesson.svg";
    },
    { once: true },
  );
  const best = lesson.finished?.score ?? null;
  const share = best === null ? "" : `, best ${(100 * best).toFixed(1)} %`;
  const open = `../notebooks/${addressed(lesson.name)}`;
  const word = program ? "Continue" : lesson.finished ? "Open again" : "Start";
  return make(
    "li",
    { class: next ? "lesson next" : "lesson" },
    picture,
    make(
      "div",
      { class: "words" },
      make("p", { class: "part" }, lesson.lesson ? `Lesson ${lesson.lesson}` : part),
      make("h3", {}, title),
      lesson.learn && make("p", {}, lesson.learn),
      lesson.minutes && make("p", { class: "minutes" }, `${lesson.minutes} minutes on this Pi`),
      died(program),
      make(
        "div",
        { class: "foot" },
        lesson.finished && make("span", { class: "done" }, `✓ Done${share}`),
        ...running(program),
        lesson.there
          ? link(word, open, `mynn-${lesson.name}`, "button open", `${word}: ${title}`)
          : button("Put it back", "", () => asked("lesson", "POST", { name: lesson.name })),
      ),
    ),
  );
}

let lessons = new Set(); // the names of their notebooks
let programs = new Map(); // by path
const cards = new Map(); // by the lesson's name: what the card shows, as text, and the card

function show(status) {
  showMemory(status.memory);
  showMessage(status.message);
  programs = new Map(status.running.map((program) => [program.path, program]));
  lessons = new Set(status.lessons.map((lesson) => lesson.name));
  const next = status.lessons.find((lesson) => lesson.there && !lesson.finished);
  const all = status.lessons.map((lesson) => {
    const program = programs.get(lesson.name);
    const facts = [lesson, program, lesson === next];
    const text = JSON.stringify(facts);
    // A card stays as long as it shows the same, so that nothing changes under a finger.
    if (cards.get(lesson.name)?.text !== text) cards.set(lesson.name, { text, card: card(...facts) });
    return cards.get(lesson.name).card;
  });
  if (all.some((one, place) => one !== $("lessons").children[place])) $("lessons").replaceChildren(...all);
  showFiles();
}

let files = null; // not known yet
let shown = ""; // what the list shows, as text

function showFiles() {
  if (!files) return;
  const now = JSON.stringify([files, [...programs.values()], [...lessons]]);
  if (now === shown) return;
  shown = now;
  const own = files.filter(({ name }) => !lessons.has(name) && !OURS.includes(name));
  const order = { directory: 0, notebook: 1, file: 2 };
  own.sort((one, other) => order[one.type] - order[other.type] || one.name.localeCompare(other.name));
  $("files").replaceChildren(...own.map(entry));
  $("none").hidden = own.length > 0;
}

function entry({ name, path, type, size }) {
  const view = type === "notebook" ? "notebooks" : type === "directory" ? "tree" : TEXT.test(name) ? "edit" : "files";
  const program = programs.get(path);
  const about = type === "directory" ? "Folder" : `${Math.max(1, Math.round(size / 1000))} kB`;
  return make(
    "li",
    {},
    link(name, `../${view}/${addressed(path)}`, `mynn-${path}`),
    make("span", { class: "size" }, about),
    ...running(program),
    died(program),
  );
}

let wanted = 0; // looks at the files, so far
let seen = 0; // the last of them that is shown

async function lookAtFiles() {
  wanted += 1;
  const look = wanted;
  const found = (await asked("../api/contents?content=1")).content;
  if (look < seen) return; // an answer that came late would hide what a later one showed
  files = found;
  seen = look;
  showFiles();
}

/** Ask for the Pi's state, and show it. */
async function look() {
  show(await asked("status"));
  trouble("");
}

/** A name that no file has yet: "a.csv", "a (2).csv". */
async function free(name) {
  const clean = name.replace(/[/\\]/g, "_").replace(/^\.+/, "") || "file";
  const [, stem, ending] = /^(.+?)(\.[^.]*)?$/.exec(clean);
  for (let number = 1; ; number++) {
    const candidate = number === 1 ? clean : `${stem} (${number})${ending ?? ""}`;
    if ((await ask(`../api/contents/${encodeURIComponent(candidate)}?content=0`)).status === 404) return candidate;
  }
}

function encoded(file) {
  return new Promise((resume, refuse) => {
    const reader = new FileReader();
    reader.onload = () => resume(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => refuse(new Error(`${file.name} cannot be read.`));
    reader.readAsDataURL(file);
  });
}

async function upload(file) {
  if (file.size > LARGEST_UPLOAD) return `${file.name} is too large for this page. Upload it in “All files”.`;
  const name = await free(file.name);
  const body = { type: "file", format: "base64", content: await encoded(file) };
  await asked(`../api/contents/${encodeURIComponent(name)}`, "PUT", body);
  return name === file.name ? `${name} is here.` : `${file.name} is here, as ${name}.`;
}

$("upload").addEventListener("change", async () => {
  const lines = [];
  for (const file of [...$("upload").files]) {
    tell([...lines, `${file.name} is being uploaded …`].join("\n"));
    lines.push(await upload(file).catch((error) => `${file.name} was not uploaded. ${error.message}`));
  }
  $("upload").value = "";
  tell(lines.join("\n"));
  lookAtFiles().catch((error) => trouble(error.message));
});

$("new").addEventListener("click", async () => {
  const tab = window.open("", "_blank"); // at once: later, the browser would take it for an advertisement
  try {
    const { path } = await asked("../api/contents", "POST", { type: "notebook" });
    tab.location = new URL(`../notebooks/${addressed(path)}`, location.href);
    await lookAtFiles();
  } catch (error) {
    tab?.close();
    tell(`There is no new notebook. ${error.message}`);
  }
});

let timer = 0;
let looking = false;

/** Look now, and every ten seconds while the page can be seen: at the files, too, until they have been shown. */
async function watch(filesToo = false) {
  if (filesToo) wanted += 1;
  if (looking || document.hidden) return;
  looking = true;
  clearTimeout(timer);
  try {
    await look();
    if (seen < wanted) await lookAtFiles();
  } catch (error) {
    trouble(error.message);
  }
  looking = false;
  timer = setTimeout(watch, EVERY);
}

window.name = "mynn-start"; // a lesson's way back leads to this tab
document.addEventListener("visibilitychange", () => watch(true)); // somebody may come back from a lesson
watch(true);
