// Drawing surface that the pads in lessons share with the page /try/: an SVG sheet for pen, finger, mouse or keys, the
// drawing as a raster image, the network's view of it, and the answer in words and in bars.

import { looksLikeDigit } from "./doubt.js";
import { frame } from "./frame.js";
import { add, addButton, addSvg, onStrokes } from "./live.js";
import { SIDE, strongest } from "./network.js";
import { _, inFigures, withArticle } from "./translation.js";

const SHEET = 560; // side of the sheet, in SVG units
const PEN = 48; // width of a line, in SVG units: after framing about as in MNIST
const STEP = 20; // SVG units per arrow key
const COARSE = 112; // side of the raster image that is framed, in pixels
// Keep sentences short: a further line of text would shift the paper under the pen.
const EMPTY = _("Draw a digit on the white square.");
const UNSEEN = _("I cannot see a digit yet.");
export const STRANGE = _("I don’t know. This looks like no digit.");

const ARROWS = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] };
// Translators: a screen reader reads it.
export const HELP = _("the square to draw on. By keyboard: the arrow keys move the pen, Space puts it down and lifts it. Control and Z take the last stroke away, Delete clears it");

// Makes a white canvas, and returns its context.
export function context(width, height = width) {
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  Object.assign(pen, { fillStyle: "white", imageSmoothingQuality: "high" });
  pen.fillRect(0, 0, width, height);
  return pen;
}

// Rasterizes strokes, each a list of points [x, y]: brightness, COARSE x COARSE bytes.
function picture(strokes) {
  const pen = context(COARSE);
  pen.scale(COARSE / SHEET, COARSE / SHEET);
  Object.assign(pen, { lineWidth: PEN, lineCap: "round", lineJoin: "round", strokeStyle: "black" });
  for (const stroke of strokes) {
    pen.beginPath();
    pen.moveTo(...stroke[0]);
    stroke.forEach((point) => pen.lineTo(...point)); // the first point again: a single one makes a dot
    pen.stroke();
  }
  const { data } = pen.getImageData(0, 0, COARSE, COARSE); // four bytes a pixel
  return new Uint8Array(COARSE ** 2).map((_, place) => data[4 * place]);
}

// The network's view of a drawing, without pieces of ink smaller than the fraction `speck` of the largest one; null
// without a digit.
export function seen(strokes, speck) {
  try {
    return strokes.length ? frame(picture(strokes), COARSE, speck) : null;
  } catch {
    return null; // a dot, or a square full of ink
  }
}

// The answer in words; without pixels, the reason.
export function inWords(outputs, pixels, strokes) {
  if (!pixels) return strokes.length ? UNSEEN : EMPTY;
  if (!looksLikeDigit(pixels)) return STRANGE;
  const first = strongest(outputs);
  const second = strongest(outputs.map((output, digit) => (digit === first ? -1 : output)));
  if (outputs[first] < 0.5) return withArticle(_("I am not sure. Is it a {first}, or a {second}?", { first, second }));
  if (outputs[second] >= 0.5) return withArticle(_("It could be a {first}, but also a {second}.", { first, second }));
  return withArticle(_("This is a {digit}.", { digit: first }));
}

// Fills ten elements, one for each output, with a digit, a bar and a number. Returns a function that shows outputs.
export function addBars(elements) {
  const bars = elements.map((element, digit) => {
    element.classList.add("mynn-pad-bar");
    add(element, "span", { textContent: digit });
    const fill = add(add(element, "span", { className: "mynn-pad-track" }), "span", { className: "mynn-pad-fill" });
    return { element, fill, number: add(element, "span", { className: "mynn-pad-number" }) };
  });
  return (outputs) =>
    bars.forEach(({ element, fill, number }, digit) => {
      fill.style.setProperty("--output", outputs?.[digit] ?? 0);
      number.textContent = outputs ? inFigures(outputs[digit], 2) : "–";
      element.classList.toggle("mynn-pad-best", Boolean(outputs) && digit === strongest(outputs));
    });
}

// Adds ten buttons that say which digit it was. They call `keep` with it.
export function addLabels(parent, keep) {
  add(parent, "div", { textContent: _("It was a:") });
  const row = add(parent, "div", { className: "mynn-pad-labels" });
  return Array.from({ length: 10 }, (nothing, digit) => {
    const title = withArticle(_("Keep this drawing as a {digit}", { digit }));
    return addButton(row, { textContent: digit, title }, () => keep(digit));
  });
}

// Calls `show` with the latest strokes, once per frame at most: a pen sends points more often.
export function calmly(show) {
  let latest;
  let asked = 0;
  return (strokes) => {
    latest = strokes;
    asked ||= requestAnimationFrame(() => {
      asked = 0;
      show(latest);
    });
  };
}

// The square to draw on. Calls `changed` with all strokes at the end of each, and when some are removed, and `drawn`
// during a stroke.
export function paper(parent, strokes, changed, drawn = () => {}) {
  const sheet = addSvg(parent, "svg", { class: "mynn-pad-paper", viewBox: `0 0 ${SHEET} ${SHEET}` });
  Object.entries({ tabindex: 0, role: "application", "aria-label": HELP }).forEach((pair) => sheet.setAttribute(...pair));
  const ink = addSvg(sheet, "g", { "stroke-width": PEN });
  const pen = addSvg(sheet, "circle", { class: "mynn-pad-pen", r: PEN / 2 });
  const past = []; // undo stack: the strokes before each change
  let place = [SHEET / 2, SHEET / 2]; // position of the pen that keys move
  let stroke = null; // points of the current stroke, while the pen is down
  let line = null; // its SVG element

  function show(points) {
    return addSvg(ink, "polyline", { points: [points[0], ...points].join(" ") }); // a point twice makes a dot
  }

  function change(next) {
    past.push(strokes);
    set(next);
  }

  function set(next) {
    strokes = next;
    stroke = null;
    sheet.classList.remove("mynn-pad-down");
    ink.replaceChildren();
    strokes.forEach(show);
    changed(strokes);
  }

  function begin(point) {
    stroke = [point];
    line = show(stroke);
    sheet.classList.add("mynn-pad-down");
    drawn([...strokes, stroke]);
  }

  function go(point) {
    const [x, y] = stroke.at(-1);
    if (Math.hypot(point[0] - x, point[1] - y) < 3) return; // the hand trembles
    stroke.push(point);
    line.setAttribute("points", [stroke[0], ...stroke].join(" "));
    drawn([...strokes, stroke]);
  }

  function end() {
    if (stroke) change([...strokes, stroke]);
  }

  const onSheet = (point) => point.map((part) => Math.round(part * SHEET));

  function down(point) {
    end(); // ends a stroke by keys
    sheet.focus({ preventScroll: true });
    sheet.classList.remove("mynn-pad-keys");
    sheet.classList.add("mynn-pad-hand");
    begin(onSheet(point));
  }

  const clear = () => (stroke || strokes.length) && change([]);
  const undo = () =>
    (stroke || past.length || strokes.length) && set(stroke ? strokes : (past.pop() ?? strokes.slice(0, -1)));

  // Handles a key, and returns whether it is one of ours. Keys that move the pen count only while the sheet has focus.
  function key({ key: name, ctrlKey, metaKey, altKey }) {
    const alone = !ctrlKey && !metaKey && !altKey;
    if (alone && (name === "Delete" || name === "Backspace")) clear();
    else if ((ctrlKey || metaKey) && name.toLowerCase() === "z") undo();
    else return alone && document.activeElement === sheet && move(name);
    return true;
  }

  // Moves, lowers or lifts the pen by a key. Returns whether it is a key for that.
  function move(name) {
    if (name !== " " && !(name in ARROWS)) return false;
    sheet.classList.remove("mynn-pad-hand");
    sheet.classList.add("mynn-pad-keys");
    if (name === " ") {
      if (stroke) end();
      else begin(place);
    } else {
      place = place.map((value, axis) => Math.min(Math.max(value + ARROWS[name][axis], PEN), SHEET - PEN));
      if (stroke) go(place);
    }
    pen.setAttribute("transform", `translate(${place})`);
    return true;
  }

  onStrokes(sheet, down, (point) => stroke && go(onSheet(point)), end);
  sheet.addEventListener("blur", () => {
    end();
    sheet.classList.remove("mynn-pad-hand");
  });
  pen.setAttribute("transform", `translate(${place})`);
  strokes.forEach(show); // after a reload: Python still has the drawing
  return {
    sheet,
    key,
    strokes: () => strokes,
    clear,
    addTools(tools) {
      addButton(tools, { textContent: _("Undo"), title: _("Take the last stroke away (Ctrl+Z)") }, undo);
      addButton(tools, { textContent: _("Clear"), title: _("Begin again (Delete)") }, clear);
    },
  };
}

// Adds the network's view. Returns a function that shows 784 bytes of ink in it.
export function eye(parent, label = _("what the network sees")) {
  const sight = context(SIDE);
  sight.canvas.className = "mynn-pad-seen";
  sight.canvas.setAttribute("role", "img");
  sight.canvas.setAttribute("aria-label", label);
  parent.append(sight.canvas);
  return (ink) => paint(sight.canvas, ink, (value) => Array(3).fill(255 - value));
}

// Paints 784 numbers as a picture, at (x, y) on a canvas.
export function paint(canvas, numbers, colourOf, x = 0, y = 0) {
  const image = new ImageData(SIDE, SIDE);
  image.data.fill(255);
  numbers.forEach((number, place) => image.data.set(colourOf(number), 4 * place));
  canvas.getContext("2d").putImageData(image, x, y);
}
