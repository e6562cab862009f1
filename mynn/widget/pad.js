// The pad of __init__.py in the browser. A pen, a finger, the mouse or the keys draw on a sheet of SVG; at the end of
// each stroke the picture is sent to Python, and what Python answers is shown beside it.

const SIDE = 560; // of the sheet, in its own units: whatever the screen, its lines are sharp
const PEN = 48; // how thick a line is on it: about as thick as MNIST's after framing
const STEP = 20; // how far an arrow key moves the pen
const COARSE = 112; // the picture that is sent, in pixels: as in __init__.py
const SEEN = 28; // what the network sees
const PATIENCE = 3000; // milliseconds without an answer, until the pad says so
// Two lines on a phone, like every message: the paper stays where it is.
const BUSY = "No answer yet. Wait, or run this lesson again.";

const ARROWS = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] };
const HELP = `the square to draw on. By keyboard: the arrow keys move the pen, Space puts it down and lifts it,
  Control and Z take the last stroke away, Delete clears, and a digit's key keeps the drawing as that digit`;

function context(side) {
  const canvas = Object.assign(document.createElement("canvas"), { width: side, height: side });
  return canvas.getContext("2d", { willReadFrequently: true });
}

// What Python sent, as bytes.
function bytes(view) {
  return view ? new Uint8Array(view.buffer, view.byteOffset, view.byteLength) : new Uint8Array();
}

// Strokes, each a list of points [x, y], as brightness: COARSE x COARSE bytes, or none where nothing is drawn.
function picture(strokes) {
  if (!strokes.length) return new Uint8Array();
  const pen = context(COARSE);
  pen.fillStyle = "white";
  pen.fillRect(0, 0, COARSE, COARSE);
  pen.scale(COARSE / SIDE, COARSE / SIDE);
  Object.assign(pen, { lineWidth: PEN, lineCap: "round", lineJoin: "round", strokeStyle: "black" });
  for (const stroke of strokes) {
    pen.beginPath();
    pen.moveTo(...stroke[0]);
    stroke.forEach((point) => pen.lineTo(...point)); // the first is where it is already: a dot
    pen.stroke();
  }
  return Uint8Array.from(pen.getImageData(0, 0, COARSE, COARSE).data.filter((_, index) => index % 4 === 0));
}

// The square to draw on. `changed` is called with all strokes at the end of each, and when some are taken away.
function paper(parent, strokes, changed) {
  const sheet = addSvg(parent, "svg", { class: "mynn-pad-paper", viewBox: `0 0 ${SIDE} ${SIDE}` });
  Object.entries({ tabindex: 0, role: "application", "aria-label": HELP }).forEach((pair) => sheet.setAttribute(...pair));
  const ink = addSvg(sheet, "g", { "stroke-width": PEN });
  const pen = addSvg(sheet, "circle", { class: "mynn-pad-pen", r: PEN / 2 });
  const past = []; // what was drawn before each change
  let place = [SIDE / 2, SIDE / 2]; // of the pen that the keys move
  let stroke = null; // while the pen is down
  let line = null; // this stroke on the sheet

  function show(points) {
    return addSvg(ink, "polyline", { points: [points[0], ...points].join(" ") }); // a point twice is a dot
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
  }

  function go(point) {
    const [x, y] = stroke.at(-1);
    if (Math.hypot(point[0] - x, point[1] - y) < 3) return; // the hand trembles
    stroke.push(point);
    line.setAttribute("points", [stroke[0], ...stroke].join(" "));
  }

  function end() {
    if (stroke) change([...strokes, stroke]);
  }

  const onSheet = (point) => point.map((part) => Math.round(part * SIDE));

  function down(point) {
    end(); // of a stroke by keys
    sheet.focus({ preventScroll: true });
    sheet.classList.remove("mynn-pad-keys");
    sheet.classList.add("mynn-pad-hand");
    begin(onSheet(point));
  }

  // The pen by keys. Returns whether this key is one of its.
  function key(name) {
    if (name !== " " && !(name in ARROWS)) return false;
    sheet.classList.remove("mynn-pad-hand");
    sheet.classList.add("mynn-pad-keys");
    if (name === " ") {
      if (stroke) end();
      else begin(place);
    } else {
      place = place.map((value, axis) => Math.min(Math.max(value + ARROWS[name][axis], PEN), SIDE - PEN));
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
  strokes.forEach(show); // the page was loaded anew, and Python still has the drawing
  return {
    sheet,
    key,
    strokes: () => strokes,
    clear: () => (stroke || strokes.length) && change([]),
    undo: () => (stroke || past.length || strokes.length) && set(stroke ? strokes : (past.pop() ?? strokes.slice(0, -1))),
  };
}

// The picture that the network sees. Returns what shows it, given its 784 bytes of ink.
function eye(parent) {
  const sight = context(SEEN);
  sight.canvas.className = "mynn-pad-seen";
  sight.canvas.setAttribute("role", "img");
  sight.canvas.setAttribute("aria-label", "what the network sees");
  parent.append(sight.canvas);
  return (ink) => {
    const image = new ImageData(new Uint8ClampedArray(4 * SEEN * SEEN).fill(255), SEEN, SEEN);
    ink.forEach((value, index) => image.data.fill(255 - value, 4 * index, 4 * index + 3));
    sight.putImageData(image, 0, 0);
  };
}

// A bar for each output. Returns what shows them.
function bars(parent) {
  const table = add(parent, "div", { className: "mynn-pad-bars" });
  const rows = Array.from({ length: 10 }, (_, digit) => {
    add(table, "span", { textContent: digit });
    const bar = add(add(table, "div", { className: "mynn-pad-track" }), "div", { className: "mynn-pad-bar" });
    return { bar, number: add(table, "span") };
  });
  return (outputs) =>
    rows.forEach(({ bar, number }, digit) => {
      const output = outputs[digit] ?? 0;
      bar.style.setProperty("--output", output);
      bar.classList.toggle("mynn-pad-best", outputs.length > 0 && output === Math.max(...outputs));
      number.textContent = outputs.length ? output.toFixed(2) : "";
    });
}

// The buttons that keep a drawing, and what is kept. Returns what shows that.
function keeper(parent, keep, takeBack) {
  const box = add(parent, "div", { className: "mynn-pad-keeper" });
  add(box, "div", { textContent: "It was a:" });
  const row = add(box, "div", { className: "mynn-pad-labels" });
  const counts = Array.from({ length: 10 }, (_, digit) => {
    const button = addButton(row, { textContent: digit, title: `Keep this drawing as a${digit === 8 ? "n" : ""} ${digit}` }, () => keep(digit));
    return add(button, "small");
  });
  const last = add(box, "div", { className: "mynn-pad-kept" });
  const kept = add(last, "span");
  kept.setAttribute("aria-live", "polite");
  const back = addButton(last, { textContent: "Take it back" }, takeBack);
  return (sentence, numbers, more) => {
    kept.textContent = sentence;
    counts.forEach((count, digit) => (count.textContent = numbers[digit] || ""));
    back.hidden = !more;
  };
}

function render({ model, el }) {
  el.classList.add("mynn-pad");
  leaveByEscape(el);
  const grid = add(el, "div", { className: "mynn-pad-grid" });
  const says = add(grid, "div", { className: "mynn-pad-says" });
  says.setAttribute("aria-live", "polite");
  const left = add(grid, "div", { className: "mynn-pad-left" });
  let timer;

  function send(strokes) {
    clearTimeout(timer);
    timer = setTimeout(() => (says.textContent = BUSY), PATIENCE);
    model.set("strokes", strokes);
    model.set("drawing", new DataView(picture(strokes).buffer));
    model.set("sent", model.get("sent") + 1);
    model.save_changes(); // without a program it may fail
  }

  function keep(label) {
    const strokes = pad.strokes();
    model.send({ keep: label, sent: model.get("sent") }, undefined, [picture(strokes).buffer]);
  }

  function takeBack() {
    model.send({ take_back: true });
  }

  // A digit's key, Delete and Ctrl+Z anywhere in the pad; all other keys are the notebook's. It listens on the window,
  // or the notebook would hear them first.
  function key(event) {
    if (!el.contains(document.activeElement)) return;
    const name = event.key;
    const alone = !event.ctrlKey && !event.metaKey && !event.altKey;
    if (alone && /^[0-9]$/.test(name)) keep(Number(name));
    else if (alone && (name === "Delete" || name === "Backspace")) pad.clear();
    else if ((event.ctrlKey || event.metaKey) && name.toLowerCase() === "z") pad.undo();
    else if (!alone || document.activeElement !== pad.sheet || !pad.key(name)) return;
    event.preventDefault();
    event.stopImmediatePropagation();
  }

  const pad = paper(left, model.get("strokes"), send);
  const tools = add(left, "div", { className: "mynn-pad-tools" });
  addButton(tools, { textContent: "Undo", title: "Take the last stroke away (Ctrl+Z)" }, pad.undo);
  addButton(tools, { textContent: "Clear", title: "Begin again (Delete)" }, pad.clear);
  const showKept = keeper(grid, keep, takeBack);
  const sight = add(grid, "div", { className: "mynn-pad-sight" });
  add(sight, "div", { textContent: "The network sees" });
  const showSeen = eye(sight);
  const showOutputs = bars(grid);

  const show = () => {
    if (model.get("answered") >= model.get("sent")) {
      clearTimeout(timer);
      says.textContent = model.get("says");
    }
    showSeen(bytes(model.get("seen")));
    showOutputs(model.get("outputs"));
    showKept(model.get("kept"), model.get("counts"), model.get("more"));
  };
  const names = ["says", "seen", "outputs", "answered", "kept", "counts", "more"];
  names.forEach((name) => model.on(`change:${name}`, show));
  model.on("msg:custom", (message) => message.kept === model.get("sent") && pad.clear()); // unless more was drawn since
  el.addEventListener("click", (event) => event.detail && pad.sheet.focus({ preventScroll: true })); // not by a key
  window.addEventListener("keydown", key, true);
  show();
  return () => {
    clearTimeout(timer);
    window.removeEventListener("keydown", key, true);
  };
}

export default { render };
