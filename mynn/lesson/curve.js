// The browser's part of CurveField (fields.py): a square to draw a curve in. Each place has a dot that follows the
// mouse or finger.

import { add, addButton, addSvg, leaveByEscape, onStrokes } from "../live.js";
import { _, language } from "../translation.js";

const [WIDTH, HEIGHT] = [480, 300];
const [LEFT, RIGHT, TOP, BOTTOM] = [64, 20, 14, 54]; // margins around the plot
const STEP = 0.05; // height per press of an arrow key

const across = (place) => LEFT + place * (WIDTH - LEFT - RIGHT);
const upwards = (height) => HEIGHT - BOTTOM - height * (HEIGHT - TOP - BOTTOM);

// Draw the fixed parts: frame, grid lines and labels.
function axes(square, model) {
  const small = { "font-size": 13, fill: "#444" };
  const heights = model.get("y_labels");
  heights.forEach((label, index) => {
    const y = upwards(index / (heights.length - 1));
    addSvg(square, "path", { d: `M${LEFT} ${y}H${WIDTH - RIGHT}`, stroke: "#ddd" });
    addSvg(square, "text", { ...small, x: LEFT - 8, y: y + 4, "text-anchor": "end" }, label);
  });
  let free = -Infinity; // right end of the last label, so that labels do not overlap
  model.get("places").forEach((place, index) => {
    const [x, label] = [across(place), model.get("x_labels")[index]];
    const half = 4 * label.length;
    addSvg(square, "path", { d: `M${x} ${upwards(0)}v5`, stroke: "#888" });
    if (x - half < free) return;
    addSvg(square, "text", { ...small, x, y: upwards(0) + 19, "text-anchor": "middle" }, label);
    free = x + half + 6;
  });
  addSvg(square, "path", { d: `M${LEFT} ${TOP}V${upwards(0)}H${WIDTH - RIGHT}`, stroke: "#888", fill: "none" });
  const middle = { ...small, "text-anchor": "middle" };
  addSvg(square, "text", { ...middle, x: across(0.5), y: HEIGHT - 10 }, model.get("x_label"));
  const turned = `translate(14 ${upwards(0.5)}) rotate(-90)`;
  addSvg(square, "text", { ...middle, transform: turned }, model.get("y_label"));
}

function render({ model, el }) {
  el.classList.add("mynn-guess");
  el.lang = language;
  leaveByEscape(el);
  const places = model.get("places");
  add(el, "div", { className: "mynn-guess-question", textContent: model.get("question") });
  const square = addSvg(el, "svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "mynn-guess-square", tabindex: 0 });
  square.setAttribute("role", "application");
  square.setAttribute("aria-label", _("a square to draw a curve in; arrow keys move its dots"));
  square.dataset.lmSuppressShortcuts = "true"; // keys pressed here are not notebook shortcuts
  axes(square, model);
  const curve = addSvg(square, "path", { fill: "none", stroke: "#c2410c", "stroke-width": 3, "stroke-linejoin": "round" });
  const dots = addSvg(square, "g", { fill: "#c2410c" });
  const row = add(el, "div", { className: "mynn-guess-row" });
  addButton(row, { className: "mynn-guess-button", textContent: _("Clear") }, clear);
  const says = add(row, "span");
  says.setAttribute("aria-live", "polite");

  let heights = []; // by place, 0 to 1; null where nothing is drawn
  let last = null; // last point of the stroke, [place, height]; null between strokes
  let chosen = 0; // the dot that arrow keys move

  function show() {
    const drawn = places.flatMap((place, index) => (heights[index] === null ? [] : [[across(place), upwards(heights[index])]]));
    curve.setAttribute("d", drawn.length ? `M${drawn.map((point) => point.join(" ")).join("L")}` : "");
    const size = places.length > 25 ? 3 : 5;
    dots.replaceChildren();
    drawn.forEach(([cx, cy]) => addSvg(dots, "circle", { cx, cy, r: size }));
    if (document.activeElement === square && square.matches(":focus-visible") && heights[chosen] !== null)
      addSvg(dots, "circle", { cx: across(places[chosen]), cy: upwards(heights[chosen]), r: 10, "fill-opacity": 0.3 });
    // Short, to fit beside the button on a phone: if the field's height changed, the square would jump.
    says.textContent = drawn.length > 1 ? _("Now run the next cell.") : _("Draw with mouse or finger.");
  }

  function send() {
    model.set("heights", heights.some((height) => height !== null) ? [...heights] : []);
    model.save_changes();
  }

  function load() {
    const kept = model.get("heights");
    heights = kept.length ? [...kept] : places.map(() => null);
    show();
  }

  const inside = (number) => Math.min(1, Math.max(0, number));

  function where([x, y]) {
    const place = (x * WIDTH - LEFT) / (WIDTH - LEFT - RIGHT);
    return [inside(place), inside((HEIGHT - BOTTOM - y * HEIGHT) / (HEIGHT - TOP - BOTTOM))];
  }

  function clear() {
    heights = places.map(() => null);
    chosen = 0;
    show();
    send();
  }

  // Move the nearest dot to this height, and dots between the last point and this one onto the line between them.
  function moveTo(point) {
    const [place, height] = where(point);
    const [from, fromHeight] = last ?? [place, height];
    const distance = places.map((other) => Math.abs(other - place));
    heights[distance.indexOf(Math.min(...distance))] = height;
    places.forEach((other, index) => {
      if (from !== place && (other - from) * (other - place) <= 0)
        heights[index] = fromHeight + ((height - fromHeight) * (other - from)) / (place - from);
    });
    last = [place, height];
    show();
  }

  function end() {
    last = null;
    send();
  }

  onStrokes(square, moveTo, moveTo, end);
  square.addEventListener("keydown", (event) => {
    const [aside, upward] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key] ?? [];
    if (aside === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    const before = heights[chosen] ?? 0.5;
    chosen = Math.min(places.length - 1, Math.max(0, chosen + aside));
    heights[chosen] = upward ? inside(before + STEP * upward) : (heights[chosen] ?? before);
    show();
    send();
  });
  ["focus", "blur"].forEach((name) => square.addEventListener(name, show));
  model.on("change:heights", () => last || load());
  load();
}

export default { render };
