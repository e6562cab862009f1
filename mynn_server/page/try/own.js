// Page for a pupil's own classes: name, draw, train, test and keep. All is computed in the browser; the Pi only stores
// the drawings. A drawing is a string of pixels as in the file, "0,0,255,...", and is in one class at most.

import { add, addButton } from "./live.js";
import { Network, scale, strongest } from "./network.js";
import { eye, seen } from "./paper.js";
import { addPhotoButtons } from "./photo.js";
import { addKeep, ask } from "./pi.js";
import { $, addPad, rove, showTrouble, write } from "./shared.js";
import { thing } from "./thing.js";
import { _, inFigures, ngettext } from "./translation.js";

const MOST_CLASSES = 10;
const MOST = 500; // drawings, as in own_classes.py
const NAME = /^(?![=+@\uff1d\uff0b\uff0d\uff20-].)(?:[^\p{Cc}\p{Cf}\p{Co}\p{Cs}\p{Z},"]|[ \u200d]){1,20}$/u; // as in own_classes.py
const EVERYTHING = 0; // size of ink that is left out: none, as a smiley has eyes

let kept = new Map(); // drawings on the Pi: class by pixels
let changes = read(sessionStorage.getItem("changes") ?? ""); // not on the Pi yet; class "" removes a drawing
let classes = []; // names
let worker = null; // while it trains
let network = null;
let learnt = []; // each output's class
let examples = 0; // number of drawings that it was trained on
const rounds = []; // test results of earlier networks, as sentences
let tests = []; // {pixels, name, answer}
let drawn = null; // pixels of the current drawing
let photos = []; // pixels of things that wait for their class
let pixels = null; // of the first of them, or of the drawing
let news = ""; // message about the last action, until the next stroke
let takeBack = null;

const pad = addPad((strokes) => {
  if (strokes.length) [news, photos] = ["", []];
  drawn = seen(strokes, EVERYTHING);
  look();
});
const showPhoto = eye($("photo"), _("the photo, as the network sees it"));
addPhotoButtons($("take"), takePhoto, true);

$("new").addEventListener("submit", (event) => {
  event.preventDefault();
  const name = $("name").value.trim().normalize("NFC");
  if (!NAME.test(name)) news = _("A name has 1 to 20 characters, no comma or quotation mark, and does not begin with = + - or @.");
  else if (classes.length >= MOST_CLASSES) news = _("Ten classes are enough.");
  else {
    if (!classes.includes(name)) classes.push(name);
    $("name").value = "";
    news = "";
  }
  showAll();
});
$("train").addEventListener("click", () => train());
$("more").addEventListener("click", () => {
  const tested = tests;
  train(() => {
    tests = [];
    tested.forEach(({ pixels, name }) => change(pixels, name));
  });
});
addKeep(send);
$("back").addEventListener("click", () => {
  takeBack();
  done(_("Taken back."), null);
  pad.sheet.focus();
});

// --- drawings

function read(text) {
  const lines = text.split("\n").filter(Boolean);
  return new Map(lines.map((line) => [line.slice(line.indexOf(",") + 1), line.slice(0, line.indexOf(","))]));
}

const text = (drawings) => [...drawings].map(([pixels, name]) => `${name},${pixels}\n`).join("");
const all = () => new Map([...new Map([...kept, ...changes])].filter(([, name]) => name));
const bytes = (pixels) => Uint8Array.from(pixels.split(","));

async function takePhoto(file) {
  news = "";
  await thing(file).then((photo) => photos.push(photo), (error) => (news = error.message));
  pad.clear();
  look();
}

// Show the answer to the next photo, or to the drawing.
function look() {
  [pixels] = [...photos, drawn];
  $("photo").hidden = !photos.length;
  if (photos.length) showPhoto(pixels);
  showAnswer();
}

// Put a drawing into a class, or remove it with "".
function change(pixels, name) {
  changes.set(pixels, name);
  if ((kept.get(pixels) ?? "") === name) changes.delete(pixels);
}

function done(words, back) {
  [news, takeBack] = [words, back];
  showAll();
}

// Add the current drawing to the class that was pressed, or test the network with it.
function choose(name) {
  if (!pixels) return done(_("Draw something first, then press its class."), takeBack);
  const drawing = pixels.join();
  if ($("test").checked) {
    const one = { pixels: drawing, name, answer: answer(drawing) };
    tests.push(one);
    const words =
      one.answer === name
        ? _("Right! Draw the next one.")
        : _("It took “{name}” for “{answer}”. Draw the next one.", { name, answer: one.answer });
    done(words, () => (tests = tests.filter((test) => test !== one)));
  } else if (all().size >= MOST) {
    return done(_("There is room for {most} drawings. Take some away first.", { most: MOST }), takeBack);
  } else {
    const before = all().get(drawing) ?? "";
    change(drawing, name);
    done(_("That is a drawing for “{name}”. Draw the next one.", { name }), () => change(drawing, before));
  }
  drawn = null;
  photos.shift();
  look();
  pad.clear();
  pad.sheet.focus({ preventScroll: true });
}

function takeAway(drawing, name) {
  change(drawing, "");
  done(_("A drawing of “{name}” was taken away.", { name }), () => change(drawing, name));
  $("back").focus(); // the pressed button is gone
}

// --- training

const answer = (drawing) => learnt[strongest(network.query(scale(bytes(drawing))))];

// Train a new network on all drawings, after noting the last one's score.
function train(before = () => {}) {
  if (worker) return; // still training
  const words = tests.length ? [scoreInWords()] : [];
  before();
  const drawings = [...all()];
  const names = [...new Set(drawings.map(([, name]) => name))];
  if (names.length < 2) return done(_("Draw something for two classes first."), takeBack);
  rounds.push(...words);
  write($("result"), _("It learns …"));
  worker = new Worker("own-worker.js", { type: "module" });
  worker.onerror = () => showTrouble(_("This browser cannot train a network here."));
  worker.onmessage = ({ data }) => {
    worker.terminate();
    worker = null;
    [network, learnt, examples] = [Network.of(data), names, drawings.length];
    tests.forEach((test) => (test.answer = answer(test.pixels)));
    write($("result"), _("It has learnt from {examples} drawings.", { examples }));
    $("test").disabled = false;
    $("test").checked = true;
    done(_("Now test it: draw something, then press what it is."), null);
    pad.sheet.focus();
  };
  worker.postMessage({
    classes: names.length,
    drawings: drawings.map(([pixels, name]) => ({ pixels: bytes(pixels), label: names.indexOf(name) })),
  });
}

// --- display

function showAll() {
  classes = [...new Set([...classes, ...all().values()])];
  showBars();
  showClasses();
  showTests();
  $("back").hidden = !takeBack;
  sessionStorage.setItem("changes", text(changes)); // a page is easily reloaded by accident
  const count = changes.size;
  write($("unkept"), count ? ngettext("{count} change is not on the Pi yet.", "{count} changes are not on the Pi yet.", count) : "");
  showAnswer();
}

let bars = [];

function showBars() {
  if (classes.join() === bars.map(({ name }) => name).join()) return; // so that the focus stays
  $("bars").replaceChildren();
  bars = classes.map((name) => {
    const button = addButton($("bars"), { className: "bar" }, () => choose(name));
    add(button, "span", { className: "name", textContent: name });
    const value = add(button, "span", { className: "value" });
    const fill = add(add(button, "span", { className: "track" }), "span", { className: "fill" });
    return { name, button, value, fill };
  });
}

// Show the network's answer to the drawing.
function showAnswer() {
  const outputs = network && pixels && network.query(scale(pixels));
  bars.forEach(({ name, button, value, fill }) => {
    const output = outputs?.[learnt.indexOf(name)];
    fill.style.setProperty("--output", output ?? 0);
    value.textContent = output === undefined ? "" : inFigures(output, 2);
    button.classList.toggle("best", Boolean(outputs) && learnt[strongest(outputs)] === name);
  });
  write($("says"), outputs ? inWords(outputs) : news || HINT[Math.min(classes.length, 2)]);
}

const HINT = [_("Name your first class."), _("Name another class."), _("Draw something, then press its class.")];

function inWords(outputs) {
  const [first, second] = [...outputs.keys()].sort((a, b) => outputs[b] - outputs[a]);
  if (outputs[first] >= 0.5) return _("This is “{name}”.", { name: learnt[first] });
  return _("I am not sure: “{name}” or “{other}”?", { name: learnt[first], other: learnt[second] });
}

function showClasses() {
  $("classes").replaceChildren();
  const drawings = [...all()];
  for (const name of classes) {
    const mine = drawings.filter(([, one]) => one === name);
    const place = add($("classes"), "section", { className: "class" });
    add(place, "h3", { textContent: `${name}: ${mine.length}` });
    if (mine.length) showDrawings(place, mine, name);
    else addButton(place, { textContent: _("Take this class away") }, () => {
      classes = classes.filter((one) => one !== name);
      showAll();
      $("name").focus();
    });
  }
}

function showDrawings(place, drawings, name) {
  const group = add(place, "div", { className: "thumbs" });
  group.setAttribute("role", "group");
  group.setAttribute("aria-label", name);
  drawings.forEach(([pixels], number) => {
    const button = addButton(group, { className: "thumb" }, () => takeAway(pixels, name));
    eye(button, _("drawing {number} of {name}: take it away", { number: number + 1, name }))(bytes(pixels));
  });
  rove(group);
}

function scoreInWords() {
  const [part, count] = [tests.filter(({ name, answer }) => name === answer).length, tests.length];
  const places = { examples, part, count, percent: Math.round((100 * part) / count) };
  return _("It has learnt from {examples} drawings. It recognises {part} of {count} new ones: {percent}%.", places);
}

function showTests() {
  $("tested").hidden = !tests.length && !rounds.length;
  $("more").disabled = !tests.length;
  write($("score"), tests.length ? scoreInWords() : _("Now test it with new drawings. Is it better?"));
  $("rounds").replaceChildren();
  rounds.forEach((words) => add($("rounds"), "li", { textContent: words }));
  $("table").replaceChildren();
  const head = add(add($("table"), "thead"), "tr");
  add(head, "td");
  learnt.forEach((name) => add(head, "th", { scope: "col", textContent: name }));
  const body = add($("table"), "tbody");
  classes.filter((name) => tests.some((test) => test.name === name)).forEach((name) => {
    const row = add(body, "tr");
    add(row, "th", { scope: "row", textContent: name });
    learnt.forEach((answer) => {
      const count = tests.filter((test) => test.name === name && test.answer === answer).length;
      add(row, "td", { textContent: count || "", className: name === answer ? "right" : "wrong" });
    });
  });
}

// --- on the Pi

// Load and show the drawings on the Pi, if the pupil is signed in.
async function load() {
  const answer = await fetch("signs", { cache: "no-store" }).catch(() => null);
  if (answer?.ok) {
    kept = read(await answer.text());
    [...changes].forEach(([pixels, name]) => change(pixels, name));
    showAll();
  } else if (answer && answer.status !== 403) {
    showTrouble((await answer.json()).message);
  }
}

// Send only changes: the Pi merges them with drawings that another tablet may have sent meanwhile.
async function send() {
  if (!changes.size) return [kept.size ? _("All drawings are on the Pi.") : _("There is nothing to keep yet.")];
  await ask("keep");
  const sentence = await ask("signs", text([...changes].slice(0, MOST)));
  await load();
  return [sentence];
}

showAll();
load();
