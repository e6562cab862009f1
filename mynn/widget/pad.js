// Browser part of the pad in __init__.py. It answers during drawing, with the weights that Python sent, even if the
// program is busy or has ended. At the end of each stroke it sends Python the network's view.

import { add, addButton, leaveByEscape } from "../live.js";
import { Network, SIDE, scale } from "../network.js";
import { HELP, addBars, addLabels, calmly, eye, inWords, paper, seen } from "../paper.js";
import { _, language } from "../translation.js";

const PATIENCE = 3000; // milliseconds to wait for the program's answer before the pad shows BUSY
const BUSY = _("No answer yet. Wait, or run this lesson again."); // two lines on a phone, like every message

const pixelsOf = (strokes) => seen(strokes) ?? new Uint8Array();

// Adds the buttons that store a drawing, and a status line. Returns a function that updates them.
function keeper(parent, keep, takeBack) {
  const box = add(parent, "div", { className: "mynn-pad-keeper" });
  const counts = addLabels(box, keep).map((button) => add(button, "small"));
  const last = add(box, "div", { className: "mynn-pad-kept" });
  const kept = add(last, "span");
  kept.setAttribute("aria-live", "polite");
  const back = addButton(last, { textContent: _("Take it back") }, takeBack);
  return (sentence, numbers, more) => {
    kept.textContent = sentence;
    counts.forEach((count, digit) => (count.textContent = numbers[digit] || ""));
    back.hidden = !more;
  };
}

function render({ model, el }) {
  el.classList.add("mynn-pad");
  el.lang = language;
  leaveByEscape(el);
  const grid = add(el, "div", { className: "mynn-pad-grid" });
  const says = add(grid, "div", { className: "mynn-pad-says" });
  says.setAttribute("aria-live", "polite");
  const left = add(grid, "div", { className: "mynn-pad-left" });
  let drawn = model.get("strokes");
  let changes = 0;
  let timer;

  function changed(strokes) {
    changes++;
    later(strokes);
    model.set("strokes", strokes);
    model.set("drawing", new DataView(pixelsOf(strokes).buffer));
    model.save_changes(); // may fail once the program has ended
  }

  // Sends the program a message; shows BUSY if it does not answer in time.
  function ask(message, buffers) {
    clearTimeout(timer);
    timer = setTimeout(() => showKept(BUSY, model.get("counts"), false), PATIENCE);
    model.send(message, undefined, buffers);
  }

  function keep(label) {
    ask({ keep: label, sent: changes }, [pixelsOf(pad.strokes()).buffer]);
  }

  // Handles digits, Delete, Backspace and Ctrl+Z anywhere in the pad, and keys of the pen; all others go to the
  // notebook. Listens on the window, in the capture phase, to come before the notebook.
  function key(event) {
    if (!el.contains(document.activeElement)) return;
    const name = event.key;
    const alone = !event.ctrlKey && !event.metaKey && !event.altKey;
    if (alone && /^[0-9]$/.test(name)) keep(Number(name));
    else if (!pad.key(event)) return;
    event.preventDefault();
    event.stopImmediatePropagation();
  }

  function show() {
    const pixels = seen(drawn);
    const outputs = pixels && network.query(scale(pixels));
    const sentence = inWords(outputs, pixels, drawn);
    if (says.textContent !== sentence) says.textContent = sentence; // only changes: screen readers read it aloud
    showSeen(pixels ?? new Uint8Array(SIDE * SIDE));
    showOutputs(outputs);
  }

  function learnt() {
    const { buffer, byteOffset, byteLength } = model.get("weights");
    network = Network.from(new Float32Array(buffer.slice(byteOffset, byteOffset + byteLength)));
    show();
  }

  function told() {
    clearTimeout(timer);
    showKept(model.get("kept"), model.get("counts"), model.get("more"));
  }

  const later = calmly((strokes) => {
    drawn = strokes;
    show();
  });
  const pad = paper(left, drawn, changed, later);
  const keys = _("A digit's key keeps the drawing as that digit");
  pad.sheet.setAttribute("aria-label", `${HELP}. ${keys}`);
  const tools = add(left, "div", { className: "mynn-pad-tools" });
  pad.addTools(tools);
  const showKept = keeper(grid, keep, () => ask({ take_back: true }));
  const sight = add(grid, "div", { className: "mynn-pad-sight" });
  add(sight, "div", { textContent: _("The network sees") });
  const showSeen = eye(sight);
  const bars = add(grid, "div", { className: "mynn-pad-bars" });
  const showOutputs = addBars(Array.from({ length: 10 }, () => add(bars, "div")));
  let network;
  model.on("change:weights", learnt);
  model.on("msg:custom", ({ sent, kept }) => {
    told();
    if (kept && sent === changes) pad.clear(); // unless the drawing has changed since
  });
  el.addEventListener("click", (event) => event.detail && pad.sheet.focus({ preventScroll: true })); // not for keys
  window.addEventListener("keydown", key, true);
  learnt();
  told();
  return () => {
    clearTimeout(timer);
    window.removeEventListener("keydown", key, true);
  };
}

export default { render };
