// The pad of __init__.py in the browser. A pen, a finger or the mouse draws on a canvas; at the end of each stroke the
// picture is sent to Python, and what Python answers is shown beside it.

const FINE = 560; // the canvas, in pixels: twice as many as it takes on an ordinary screen, so that fine ones look sharp
const PEN = 48; // how thick a line is on it: about as thick as MNIST's after framing
const COARSE = 112; // the picture that is sent: as in __init__.py
const SEEN = 28; // what the network sees

function add(parent, tag, properties = {}) {
  const element = Object.assign(document.createElement(tag), properties);
  parent.append(element);
  return element;
}

function context(side) {
  const canvas = Object.assign(document.createElement("canvas"), { width: side, height: side });
  return canvas.getContext("2d", { willReadFrequently: true });
}

// Brightness, one byte a pixel, as a picture.
function picture(shades, side) {
  const image = new ImageData(side, side);
  shades.forEach((value, index) => image.data.set([value, value, value, 255], 4 * index));
  return image;
}

// What Python sent, as bytes.
function bytes(view) {
  return view ? new Uint8Array(view.buffer, view.byteOffset, view.byteLength) : new Uint8Array();
}

// The square to draw on. `drawn` is called with the picture, COARSE x COARSE bytes, at the end of each stroke.
function paper(parent, before, drawn) {
  const pen = context(FINE);
  const canvas = pen.canvas;
  canvas.className = "mynn-pad-paper";
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", "the square to draw on");
  parent.append(canvas);
  Object.assign(pen, { lineWidth: PEN, lineCap: "round", lineJoin: "round", strokeStyle: "black" });
  const small = context(COARSE);
  small.imageSmoothingQuality = "high";
  let last = null; // where the pen is, while it is down

  function clear() {
    pen.fillStyle = "white";
    pen.fillRect(0, 0, FINE, FINE);
    last = null;
  }

  function moveTo(event) {
    const place = canvas.getBoundingClientRect();
    const x = ((event.clientX - place.left) / place.width) * FINE;
    const y = ((event.clientY - place.top) / place.height) * FINE;
    pen.beginPath();
    pen.moveTo(...(last ?? [x, y]));
    pen.lineTo(x, y); // to where it is already: a dot
    pen.stroke();
    last = [x, y];
  }

  function down(event) {
    if (!event.isPrimary || event.button !== 0) return; // a second finger, another button
    canvas.setPointerCapture(event.pointerId); // so that the stroke ends here even if the pen leaves the paper
    event.preventDefault();
    moveTo(event);
  }

  function move(event) {
    if (!last || !event.isPrimary) return;
    const places = event.getCoalescedEvents?.() ?? []; // the screen is slower than a pen
    (places.length ? places : [event]).forEach(moveTo);
  }

  function up(event) {
    if (!last || !event.isPrimary) return;
    last = null;
    small.drawImage(canvas, 0, 0, COARSE, COARSE);
    drawn(small.getImageData(0, 0, COARSE, COARSE).data.filter((_, index) => index % 4 === 0));
  }

  canvas.addEventListener("pointerdown", down);
  canvas.addEventListener("pointermove", move);
  canvas.addEventListener("pointerup", up);
  canvas.addEventListener("pointercancel", up);
  clear();
  if (before.length) {
    // The page was reloaded, and Python still has the drawing.
    small.putImageData(picture(before, COARSE), 0, 0);
    pen.drawImage(small.canvas, 0, 0, FINE, FINE);
  }
  return clear;
}

// The picture that the network sees. Returns what shows it, given its 784 bytes of ink.
function eye(parent) {
  const sight = context(SEEN);
  sight.canvas.className = "mynn-pad-seen";
  sight.canvas.setAttribute("role", "img");
  sight.canvas.setAttribute("aria-label", "what the network sees");
  parent.append(sight.canvas);
  return (ink) => {
    const shades = ink.length ? ink.map((value) => 255 - value) : new Uint8Array(SEEN * SEEN).fill(255);
    sight.putImageData(picture(shades, SEEN), 0, 0);
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
      bar.style.width = `${100 * output}%`;
      bar.classList.toggle("mynn-pad-best", outputs.length > 0 && output === Math.max(...outputs));
      number.textContent = outputs.length ? output.toFixed(2) : "";
    });
}

function render({ model, el }) {
  el.classList.add("mynn-pad");
  const send = (picture) => {
    model.set("drawing", new DataView(picture.buffer));
    model.save_changes();
  };
  const left = add(el, "div");
  const clear = paper(left, bytes(model.get("drawing")), send);
  const button = add(left, "button", { className: "mynn-pad-clear", type: "button", textContent: "Clear" });
  button.dataset.lmSuppressShortcuts = "true"; // its keys, Space and Enter, are not the notebook's
  button.addEventListener("click", (event) => {
    if (event.detail) button.blur(); // it was the mouse: keys are the notebook's again, Ctrl+S for one
    clear();
    send(new Uint8Array());
  });
  const middle = add(el, "div");
  add(middle, "div", { textContent: "The network sees" });
  const showSeen = eye(middle);
  const right = add(el, "div", { className: "mynn-pad-answer" });
  const says = add(right, "div", { className: "mynn-pad-says" });
  says.setAttribute("aria-live", "polite");
  const showOutputs = bars(right);

  const show = () => {
    says.textContent = model.get("says");
    showSeen(bytes(model.get("seen")));
    showOutputs(model.get("outputs"));
  };
  ["says", "seen", "outputs"].forEach((name) => model.on(`change:${name}`, show));
  show();
}

export default { render };
