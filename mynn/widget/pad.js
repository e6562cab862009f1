// The pad of __init__.py in the browser. At the end of each stroke on its sheet (../paper.js) the picture is sent to
// Python, and what Python answers is shown beside it.

import { add, addButton, leaveByEscape } from "../live.js";
import { HELP, eye, paper, picture } from "../paper.js";

const PATIENCE = 3000; // milliseconds without an answer, until the pad says so
// Two lines on a phone, like every message: the paper stays where it is.
const BUSY = "No answer yet. Wait, or run this lesson again.";

// What Python sent, as bytes.
function bytes(view) {
  return view ? new Uint8Array(view.buffer, view.byteOffset, view.byteLength) : new Uint8Array();
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
  pad.sheet.setAttribute("aria-label", `${HELP}. A digit's key keeps the drawing as that digit`);
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
