// Teach a network: what is chosen, what is shown of it, and the worker that trains it.

import { add, addSvg } from "./live.js";
import { Network, RULES, strongest } from "./network.js";
import { eye, named } from "./paper.js";
import { $, showTrouble, write } from "./shared.js";
import { paint, redToBlue, use } from "./try.js";

const DIGITS = { step: 1, slow: 1, fast: 250 }; // from one look to the next
const PAUSE = 700; // milliseconds between two digits, slowly
const isStill = matchMedia("(prefers-reduced-motion: reduce)").matches; // no digits that flicker
const [WIDTH, HEIGHT, LEFT, ABOVE, BELOW] = [440, 240, 44, 22, 26]; // of the curve

let worker = null; // once a network is taught
let way = ""; // step, slow or fast, while it is taught
let busy = false; // the worker was asked, and has not answered yet
let timer;
let chosen; // for this network
let mine = null; // the network so far
let words = ""; // how far it is
export const taught = () => mine;

RULES.forEach((rule) => add($("rule"), "option", { textContent: rule }));
const showDigit = eye($("moment-digit"), "the digit that it has just learnt from");
const cells = Array.from({ length: 10 }, (_, digit) => {
  const row = add($("numbers").tBodies[0], "tr");
  add(row, "th", { scope: "row", textContent: digit });
  return Array.from({ length: 4 }, () => add(row, "td"));
});
showState();

$("choices").addEventListener("submit", (event) => {
  event.preventDefault();
  clearTimeout(timer);
  way = event.submitter.value;
  if (!worker) begin();
  else if (!busy) ask();
  showState();
});
$("stop").addEventListener("click", () => {
  clearTimeout(timer);
  way = "";
  if (!busy) write($("result"), words); // or when the worker is done
  $("ways").querySelector("button").focus(); // a button that cannot be pressed any more has no focus
  showState();
});
$("anew").addEventListener("click", () => {
  clearTimeout(timer);
  worker.terminate();
  [worker, way, busy, mine] = [null, "", false, null];
  $("guess").value = "";
  $("progress").hidden = true;
  write($("result"), "");
  use(null);
  showState();
  $("guess").focus();
});
$("mine").addEventListener("change", () => use($("mine").checked ? mine : null));

function begin() {
  worker = new Worker("worker.js", { type: "module" });
  worker.onmessage = ({ data }) => show(data);
  worker.onerror = () => show({ trouble: "this browser cannot do it" });
  const [hiddenNodes, learningRate] = ["hidden-nodes", "learning-rate"].map((id) => Number($(id).value));
  chosen = { hiddenNodes, learningRate, rule: $("rule").value, turned: $("turned").checked };
  write($("result"), "The digits are on their way.");
  ask({ begin: chosen });
}

function ask(more) {
  busy = true;
  worker.postMessage({ ...more, go: DIGITS[way] });
}

function showState() {
  $("settings").disabled = Boolean(worker);
  $("anew").disabled = !worker;
  $("stop").disabled = !way;
  $("says").ariaLive = way ? "off" : "polite"; // the answer changes with each digit that is learnt
  const buttons = $("ways").querySelectorAll("[name=way]");
  for (const button of buttons) button.setAttribute("aria-pressed", button.value === way);
}

// Show what came of it, and go on.
function show({ trouble, network, trained, points, moment, round }) {
  busy = false;
  if (trouble) {
    showTrouble(`No network can be taught: ${trouble}. Reload this page.`);
    way = "";
    return showState();
  }
  const ended = trained % round === 0;
  if (ended || way === "step") way = "";
  if (way === "fast") ask(); // it works while this is shown
  else if (way === "slow") timer = setTimeout(ask, PAUSE);
  mine = Network.of(network);
  $("progress").hidden = false;
  if ($("mine").checked) use(mine);
  if (way !== "fast" || !isStill) showMoment(moment, trained);
  showCurve(points, round);
  showWeights();
  showRungs(points, round);
  words = inWords(trained, points, ended);
  write($("result"), way ? "" : words); // it is read aloud when all is done
  showState();
}

function inWords(trained, points, ended) {
  const [tested, part] = points.at(-1);
  const learnt = `It has learnt from ${number(trained)} digit${trained === 1 ? "" : "s"}.`;
  const when = tested ? `After ${number(tested)}` : "Before that";
  const end = ended ? ` You guessed ${$("guess").value}. Full speed goes through all of them again.` : "";
  return `${learnt} ${when} it recognised ${percent(part)} of 100 new ones.${end}`;
}

const number = (count) => count.toLocaleString("en-GB");
const percent = (part) => (100 * part).toFixed(1);

// The digit that it has just learnt from, and its numbers.
function showMoment({ label, pixels, outputs, targets, then }, trained) {
  showDigit(pixels);
  $("moment-title").textContent = `Digit ${number(trained)} is ${named(label)}: it said ${strongest(outputs)}`;
  cells.forEach((row, digit) => {
    const numbers = [outputs[digit], targets[digit], targets[digit] - outputs[digit], then[digit]];
    row.forEach((cell, column) => (cell.textContent = numbers[column].toFixed(2).replace("-0.00", "0.00").replace("-", "−")));
    row[0].parentElement.classList.toggle("best", digit === label);
  });
}

// How many of the test digits were recognised after so many digits, and the guess.
function showCurve(points, round) {
  const curve = $("curve");
  const last = points.at(-1)[0];
  const most = [round / 100, round / 10].find((width) => last <= width) ?? round * Math.ceil(last / round);
  const x = (tested) => LEFT + ((WIDTH - LEFT - 12) * tested) / most;
  const y = (part) => HEIGHT - BELOW - (HEIGHT - BELOW - ABOVE) * part;
  curve.replaceChildren();
  [0, 0.5, 1].forEach((part) => {
    addSvg(curve, "line", { class: "grid", x1: LEFT, x2: x(most), y1: y(part), y2: y(part) });
    addSvg(curve, "text", { x: LEFT - 6, y: y(part) + 5, "text-anchor": "end" }, `${100 * part}%`);
  });
  addSvg(curve, "text", { x: LEFT, y: HEIGHT - 6 }, "0");
  addSvg(curve, "text", { x: x(most), y: HEIGHT - 6, "text-anchor": "end" }, `${number(most)} digits`);
  const guess = Number($("guess").value) / 100;
  addSvg(curve, "line", { class: "guess", x1: LEFT, x2: x(most), y1: y(guess), y2: y(guess) });
  const isAbove = guess > points.at(-1)[1]; // the curve
  const place = { x: x(most), y: y(guess) + (isAbove ? -6 : 16), "text-anchor": "end" };
  addSvg(curve, "text", { class: "guess", ...place }, "your guess");
  addSvg(curve, "polyline", { points: points.map(([tested, part]) => `${x(tested)},${y(part)}`).join(" ") });
  const [tested, part] = points.at(-1);
  addSvg(curve, "circle", { cx: x(tested), cy: y(part), r: 4 });
  curve.setAttribute("aria-label", `${percent(part)} of 100 after ${number(tested)} digits`);
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

// What this network has come to, on the rungs of the ladder that it was taught for.
function showRungs(points, round) {
  for (const row of $("ladder").querySelectorAll("[data-rounds]")) {
    const reached = points.find(([tested]) => tested === row.dataset.rounds * round);
    if (reached && row.dataset.settings === JSON.stringify(chosen)) row.cells[2].textContent = `✓ ${percent(reached[1])}`;
  }
}
