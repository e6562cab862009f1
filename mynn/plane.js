// A square on which one puts points of two kinds, and the border that a small network draws between them while it learns:
// on the page /try/, and in lesson 2 as a widget (widget/__init__.py).

import { add, addButton, addSvg, leaveByEscape } from "./live.js";
import { Network } from "./network.js";
import { _, language, ngettext } from "./translation.js";

const NODES = 8;
const PLACES = 33; // across the square: the network is asked at each
const SURE = 0.8; // training ends when the network is as sure of each point
const MOST = 2000; // epochs after which it ends anyway
const NEAR = 0.04; // a tap as near to a point takes it away
const STEP = 0.05; // per press of an arrow key
const ARROWS = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, STEP], ArrowDown: [0, -STEP] };
const SHEET = 560; // its side, in SVG units
const CROSS = { d: "M-13-13L13 13M-13 13L13-13", stroke: "#103a6b", "stroke-width": 8 };
const DISC = { d: "M-15 0a15 15 0 1 0 30 0a15 15 0 1 0-30 0", fill: "#a01225", stroke: "white", "stroke-width": 4 };
// A point is [how far right, how far up, kind], the first two from 0 to 1. Kind 0 is blue, kind 1 red.
const RED = [[0.72, 0.86], [0.86, 0.9], [0.8, 0.74], [0.92, 0.7], [0.16, 0.18]]; // no straight border is right for all
const BLUE = [[0.3, 0.84], [0.2, 0.62], [0.46, 0.66], [0.4, 0.42], [0.6, 0.48], [0.68, 0.28], [0.86, 0.34]];
const EXAMPLE = [...BLUE.map((place) => [...place, 0]), ...RED.map((place) => [...place, 1])];

// With inputs around 0, borders may be steep. The third signal is always 1: without it, the border of each hidden node
// would go through the middle of the square.
const signalsAt = ([x, y]) => [6 * x - 3, 6 * y - 3, 1];
const newNetwork = () => new Network(3, NODES, 1, 0.1, "cross-entropy");

// Adds the square and its buttons, with these points or an example.
export function plane(parent, points = EXAMPLE) {
  const isStill = matchMedia("(prefers-reduced-motion: reduce)").matches; // shows what comes out, and no epoch before it
  const box = add(parent, "div", { className: "mynn-plane" });
  const kinds = add(box, "div", { className: "mynn-pad-tools", role: "group", ariaLabel: _("The next point is") });
  const square = add(box, "div", { className: "mynn-plane-square" });
  const map = add(square, "canvas", { width: PLACES, height: PLACES, role: "img" });
  const sheet = addSvg(square, "svg", { viewBox: `0 0 ${SHEET} ${SHEET}`, class: "mynn-pad-keys", role: "application", tabindex: 0 });
  // Translators: a screen reader reads it.
  sheet.ariaLabel = _("a square for points. By keyboard: the arrow keys move, Space puts a point there, or takes it away");
  sheet.dataset.lmSuppressShortcuts = "true"; // keys pressed here are not notebook shortcuts
  const marks = addSvg(sheet, "g");
  const cursor = addSvg(sheet, "circle", { class: "mynn-pad-pen", r: 24, fill: "none" });
  const says = add(box, "div", { className: "mynn-pad-says", role: "status" });
  const tools = add(box, "div", { className: "mynn-pad-tools" });
  const train = addButton(tools, {}, () => (frame ? rest() : go()));
  addButton(tools, { textContent: _("Clear") }, clear);
  const choices = [`✕ ${_("Blue")}`, `● ${_("Red")}`].map((textContent, one) => addButton(kinds, { textContent }, () => choose(one)));

  let network = newNetwork();
  let kind = 1; // of the next point
  let at = [0.5, 0.5]; // where keys put it
  let epochs = 0;
  let frame = 0; // while training: the screen's next picture, with which it goes on

  const answer = (place) => network.query(signalsAt(place))[0];
  const isRight = (point) => answer(point) > 0.5 === (point[2] === 1);
  const isSure = (point) => Math.abs(answer(point) - point[2]) < 1 - SURE;
  const isOver = () => epochs % MOST === 0 || points.every(isSure);

  function choose(one) {
    kind = one;
    choices.forEach((button, other) => button.setAttribute("aria-pressed", other === kind));
  }

  function put(place) {
    at = place;
    const others = points.filter(([x, y]) => Math.hypot(x - at[0], y - at[1]) > NEAR);
    points = others.length < points.length ? others : [...points, [...at, kind]];
    show();
  }

  function clear() {
    [points, network, epochs] = [[], newNetwork(), 0];
    rest();
  }

  function go() {
    do {
      points.forEach((point) => network.train(signalsAt(point), [point[2] ? 0.99 : 0.01]));
      epochs += 1;
    } while (isStill && !isOver());
    if (isOver()) return rest();
    frame = requestAnimationFrame(go);
    show();
  }

  function rest() {
    cancelAnimationFrame(frame);
    frame = 0;
    show();
  }

  function show() {
    const along = Array.from({ length: PLACES }, (nothing, place) => place / (PLACES - 1));
    const rows = along.map((down) => along.map((x) => answer([x, 1 - down])));
    const image = new ImageData(PLACES, PLACES);
    rows.flat().forEach((output, place) => image.data.set(tint(output), 4 * place));
    map.getContext("2d").putImageData(image, 0, 0);
    const transform = ([x, y]) => `translate(${SHEET * x} ${SHEET * (1 - y)})`;
    marks.replaceChildren();
    points.forEach((point) => addSvg(marks, "path", { ...(point[2] ? DISC : CROSS), transform: transform(point) }));
    cursor.setAttribute("transform", transform(at));
    train.textContent = frame ? _("Stop") : _("Train");
    says.ariaLive = frame ? "off" : "polite"; // it changes with each epoch
    const right = { right: points.filter(isRight).length };
    const words = ngettext("{right} of {count} point is on its own side.", "{right} of {count} points are on their own side.", points.length, right);
    const score = `${ngettext("{count} epoch.", "{count} epochs.", epochs)} ${words}`;
    says.textContent = points.length ? score : _("Tap the square: each tap puts a point. Then press Train.");
    if (!frame) map.ariaLabel = regions(rows);
  }

  sheet.addEventListener("click", ({ clientX, clientY }) => {
    const { left, bottom, width, height } = sheet.getBoundingClientRect();
    put([(clientX - left) / width, (bottom - clientY) / height]);
  });
  sheet.addEventListener("keydown", (event) => {
    const arrow = ARROWS[event.key];
    if (!arrow && event.key !== " ") return;
    event.preventDefault();
    event.stopPropagation();
    if (!arrow) return put(at);
    at = at.map((part, axis) => Math.min(1, Math.max(0, part + arrow[axis])));
    show();
  });
  choose(kind);
  show();
  return { points: () => points };
}

// A colour between blue and red. It follows the sum before the sigmoid, which stays smooth where the answer jumps; the
// style makes the border between both sharp.
function tint(output) {
  const red = 255 * (0.5 + Math.log(output / (1 - output)) / 12);
  return [red, 0, 255 - red, 255];
}

// The map in words: its colours from left to right, at three heights.
function regions(rows) {
  const [top, middle, bottom] = [0, (PLACES - 1) / 2, PLACES - 1].map((place) => {
    const names = rows[place].map((output) => (output > 0.5 ? _("red") : _("blue")));
    return names.filter((name, column) => name !== names[column - 1]).join(", ");
  });
  return _("From left to right, at the top: {top}; in the middle: {middle}; at the bottom: {bottom}.", { top, middle, bottom });
}

function render({ el }) {
  el.classList.add("mynn-pad");
  el.lang = language;
  leaveByEscape(el);
  plane(el);
}

export default { render };
