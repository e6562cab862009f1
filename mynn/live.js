// What the scripts of widgets share, and the page /try/: live.py puts it before each of them.

export function add(parent, tag, properties = {}) {
  const element = Object.assign(document.createElement(tag), properties);
  parent.append(element);
  return element;
}

export function addSvg(parent, tag, attributes = {}, text = "") {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  Object.entries(attributes).forEach(([name, value]) => element.setAttribute(name, value));
  if (text) element.textContent = text;
  parent.append(element);
  return element;
}

export function addButton(parent, properties, pressed) {
  const button = add(parent, "button", { type: "button", ...properties });
  button.dataset.lmSuppressShortcuts = "true"; // its keys, Space and Enter, are not the notebook's
  button.addEventListener("click", pressed);
  return button;
}

// By keyboard, a way from what a cell shows back to the cell, whose keys are the notebook's.
export function leave(el) {
  el.closest(".jp-Cell")?.focus({ preventScroll: true });
}

export function leaveByEscape(el) {
  el.addEventListener("keydown", (event) => event.key === "Escape" && leave(el));
}

// Calls `begin` and `go` with where a pen, the mouse or a finger draws, [x, y] from 0 to 1 inside, and `end` after it.
export function onStrokes(element, begin, go, end) {
  let drawing = false;

  function place(event) {
    const box = element.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  }

  function up(event) {
    if (!drawing || !event.isPrimary) return;
    drawing = false;
    end();
  }

  // Or a quick stroke flings the page, which does not move, and the next tap on a button would only stop it.
  element.addEventListener("touchstart", (event) => event.preventDefault(), { passive: false });
  element.addEventListener("pointerdown", (event) => {
    if (!event.isPrimary || event.button !== 0) return; // a second finger, another button
    event.preventDefault();
    element.setPointerCapture(event.pointerId); // so that the stroke ends here even if the pen leaves the element
    drawing = true;
    begin(place(event));
  });
  element.addEventListener("pointermove", (event) => {
    if (!drawing || !event.isPrimary) return;
    const events = event.getCoalescedEvents?.() ?? []; // the screen is slower than a pen
    (events.length ? events : [event]).forEach((one) => go(place(one)));
  });
  element.addEventListener("pointerup", up);
  element.addEventListener("pointercancel", up);
}

