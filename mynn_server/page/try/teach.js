// Section of the page that trains a network in a web worker: settings, buttons, and the display of progress.

import { add, addSvg } from "./live.js";
import { Network, RULES, strongest } from "./network.js";
import { asStored, fromStored } from "./packed.js";
import { eye, paint } from "./paper.js";
import { $, RULE_NAMES, showTrouble, write } from "./shared.js";
import { store, stored } from "./stored.js";
import { redToBlue, use } from "./try.js";
import { _, inFigures, ngettext, numbersIn, withArticle } from "./translation.js";

const DIGITS = { step: 1, slow: 1, fast: 250 }; // between two updates of the display
const PAUSE = 700; // milliseconds between two digits, when slow
const isStill = matchMedia("(prefers-reduced-motion: reduce)").matches; // no flickering digits
const [WIDTH, HEIGHT, LEFT, ABOVE, BELOW] = [440, 240, 52, 22, 26]; // units of the curve's SVG
const RANGES = { "hidden-nodes": [1, 200], "learning-rate": [0.001, 1], guess: [0, 100] }; // of the fields for numbers

let worker = null; // once training has begun
let way = ""; // step, slow or fast, while training
let awaited = 0; // answers of the worker
let timer;
let chosen; // settings of this network
let mine = null; // the network so far
let [trained, points] = [0, []]; // of this network, as in worker.js
const rungs = [...$("ladder").querySelectorAll("[data-rounds]")];
const climbed = stored("climbed", () => climbed) ?? rungs.map(() => null);
const before = stored("taught", () => mine && { ...chosen, ...asStored(mine), guess: $("guess").value, trained, points });
let words = ""; // progress, as sentences
export const taught = () => mine;

RULES.forEach((rule) => add($("rule"), "option", { value: rule, textContent: RULE_NAMES[rule] }));
const percent = (part) => inFigures(100 * part, 1);
const showDigit = eye($("moment-digit"), _("the digit that it has just learnt from"));
const cells = Array.from({ length: 10 }, (_, digit) => {
  const row = add($("numbers").tBodies[0], "tr");
  add(row, "th", { scope: "row", textContent: digit });
  return Array.from({ length: 4 }, () => add(row, "td"));
});
showState();
for (const id of ["hidden-nodes", "learning-rate"]) $(id).value = inFigures(numberIn(id)); // 0,1 in German
numberIn("guess");
showClimbed();
if (before) resume(before);

$("settings").addEventListener("input", ({ target: { id } }) => id in RANGES && numberIn(id));
$("choices").addEventListener("submit", (event) => {
  event.preventDefault();
  clearTimeout(timer);
  way = event.submitter.value;
  if (!worker) begin();
  else if (!awaited) ask();
  showState();
});
$("stop").addEventListener("click", () => {
  clearTimeout(timer);
  way = "";
  ask({ test: true }); // the figure is that of this network, as on the page to take home
  $("ways").querySelector("button").focus(); // a disabled button loses the focus
  showState();
});
$("anew").addEventListener("click", () => {
  clearTimeout(timer);
  worker.terminate();
  [worker, way, awaited, mine, trained, points] = [null, "", 0, null, 0, []];
  $("guess").value = "";
  numberIn("guess");
  $("progress").hidden = true;
  write($("result"), "");
  use(null);
  showState();
  $("guess").focus();
});
$("mine").addEventListener("change", () => use($("mine").checked ? mine : null));

// The number in a field, if it is in the field's range. If not, the browser asks for that before it submits the form.
function numberIn(id) {
  const [low, high] = RANGES[id];
  const isFit = (number) => low <= number && number <= high && (id !== "hidden-nodes" || Number.isInteger(number));
  const found = numbersIn($(id).value).find(isFit);
  const range = { low: inFigures(low), high: inFigures(high) };
  $(id).setCustomValidity(found === undefined ? _("Please enter a number from {low} to {high}.", range) : "");
  return found;
}

function begin() {
  worker = new Worker("worker.js", { type: "module" });
  worker.onmessage = ({ data }) => show(data);
  worker.onerror = () => show({ trouble: _("this browser cannot do it") });
  const [hiddenNodes, learningRate] = ["hidden-nodes", "learning-rate"].map(numberIn);
  chosen = { hiddenNodes, learningRate, rule: $("rule").value, turned: $("turned").checked };
  write($("result"), _("The digits are on their way."));
  ask({ begin: { ...chosen, mine, trained, points } });
}

// After a reload, go on with the network from before.
function resume(before) {
  const fields = { "hidden-nodes": "hiddenNodes", "learning-rate": "learningRate", rule: "rule", guess: "guess" };
  const shown = (value) => (typeof value === "number" ? inFigures(value) : value);
  Object.entries(fields).forEach(([id, name]) => ($(id).value = shown(before[name])));
  $("turned").checked = before.turned;
  ({ trained, points } = before);
  mine = fromStored(before);
  begin();
}

function ask(more) {
  awaited++;
  worker.postMessage({ ...more, go: DIGITS[way] ?? 0 });
}

function showState() {
  $("settings").disabled = Boolean(worker);
  $("anew").disabled = !worker;
  $("stop").disabled = !way;
  $("says").ariaLive = way ? "off" : "polite"; // the answer changes with each digit that is learnt
  const buttons = $("ways").querySelectorAll("[name=way]");
  for (const button of buttons) button.setAttribute("aria-pressed", button.value === way);
}

// Show the worker's result, and go on.
function show({ trouble, network, moment, round, ...done }) {
  awaited--;
  if (trouble) {
    showTrouble(_("No network can be taught: {reason}. Reload this page.", { reason: trouble }));
    way = "";
    return showState();
  }
  ({ trained, points } = done);
  const ended = trained % round === 0;
  if (moment && (ended || way === "step")) way = "";
  if (!awaited && way === "slow") timer = setTimeout(ask, PAUSE);
  else if (!awaited && way) ask(); // the worker trains while this is shown
  mine = Network.of(network);
  $("progress").hidden = false;
  if ($("mine").checked) use(mine);
  if (moment && (way !== "fast" || !isStill)) showMoment(moment);
  showCurve(round);
  showWeights();
  climb(round);
  words = inWords(ended);
  write($("result"), way || awaited ? "" : words); // read aloud only at the end
  if (!way) store();
  showState();
}

function inWords(ended) {
  const [tested, part] = points.at(-1);
  const places = { digits: inFigures(trained), tested: inFigures(tested), percent: percent(part) };
  const sentences = [
    ngettext("It has learnt from {digits} digit.", "It has learnt from {digits} digits.", trained, places),
    tested
      ? _("After {tested} it recognised {percent} of 100 new ones.", places)
      : _("Before that it recognised {percent} of 100 new ones.", places),
  ];
  const guess = inFigures(numberIn("guess"));
  if (ended) sentences.push(_("You guessed {guess}. Full speed goes through all of them again.", { guess }));
  return sentences.join(" ");
}

// Show the last digit that the network was trained on, and its numbers.
function showMoment({ label, pixels, outputs, targets, then }) {
  showDigit(pixels);
  const places = { number: inFigures(trained), digit: label, answer: strongest(outputs) };
  $("moment-title").textContent = withArticle(_("Digit {number} is a {digit}: it said {answer}", places));
  cells.forEach((row, digit) => {
    const numbers = [outputs[digit], targets[digit], targets[digit] - outputs[digit], then[digit]];
    row.forEach((cell, column) => (cell.textContent = inFigures(Number(numbers[column].toFixed(2)) + 0, 2).replace("-", "−")));
    row[0].parentElement.classList.toggle("best", digit === label);
  });
}

// Plot the share of recognised test digits against the number of digits trained on, and the guess.
function showCurve(round) {
  const curve = $("curve");
  const last = points.at(-1)[0];
  const most = [round / 100, round / 10].find((width) => last <= width) ?? round * Math.ceil(last / round);
  const x = (tested) => LEFT + ((WIDTH - LEFT - 12) * tested) / most;
  const y = (part) => HEIGHT - BELOW - (HEIGHT - BELOW - ABOVE) * part;
  curve.replaceChildren();
  [0, 0.5, 1].forEach((part) => {
    addSvg(curve, "line", { class: "grid", x1: LEFT, x2: x(most), y1: y(part), y2: y(part) });
    addSvg(curve, "text", { x: LEFT - 6, y: y(part) + 5, "text-anchor": "end" }, _("{percent}%", { percent: 100 * part }));
  });
  addSvg(curve, "text", { x: LEFT, y: HEIGHT - 6 }, "0");
  addSvg(curve, "text", { x: x(most), y: HEIGHT - 6, "text-anchor": "end" }, _("{count} digits", { count: inFigures(most) }));
  const guess = numberIn("guess") / 100;
  addSvg(curve, "line", { class: "guess", x1: LEFT, x2: x(most), y1: y(guess), y2: y(guess) });
  const isAbove = guess > points.at(-1)[1]; // above the curve's end
  const place = { x: x(most), y: y(guess) + (isAbove ? -6 : 16), "text-anchor": "end" };
  addSvg(curve, "text", { class: "guess", ...place }, _("your guess"));
  addSvg(curve, "polyline", { points: points.map(([tested, part]) => `${x(tested)},${y(part)}`).join(" ") });
  const [tested, part] = points.at(-1);
  addSvg(curve, "circle", { cx: x(tested), cy: y(part), r: 4 });
  const end = { percent: percent(part), digits: inFigures(tested) };
  curve.setAttribute("aria-label", _("{percent} of 100 after {digits} digits", end));
}

function showWeights() {
  const canvas = $("weights");
  const columns = mine.wih.length > 100 ? 20 : 10;
  const [width, height] = [29 * columns - 1, 29 * Math.ceil(mine.wih.length / columns) - 1];
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  mine.wih.forEach((row, node) => {
    const most = Math.max(...row.map(Math.abs)) || 1;
    paint(canvas, row, (weight) => redToBlue(weight / most), 29 * (node % columns), 29 * Math.floor(node / columns));
  });
}

// Note this network's scores on those rungs of the ladder that have its settings.
function climb(round) {
  rungs.forEach(({ dataset }, place) => {
    const reached = points.find(([tested]) => tested === dataset.rounds * round);
    if (reached && dataset.settings === JSON.stringify(chosen)) climbed[place] = reached[1];
  });
  showClimbed();
}

function showClimbed() {
  rungs.forEach(({ cells }, place) => (cells[2].textContent = climbed[place] === null ? "" : `✓ ${percent(climbed[place])}`));
}
