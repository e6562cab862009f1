// Shared DOM helpers of the widgets and the page /try/. live.py puts them before each widget's script.

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
  button.dataset.lmSuppressShortcuts = "true"; // the notebook ignores Space and Enter here
  button.addEventListener("click", pressed);
  return button;
}

// For keyboard users: move the focus from a cell's output to the cell, where the notebook's shortcuts work.
export function leave(el) {
  el.closest(".jp-Cell")?.focus({ preventScroll: true });
}

export function leaveByEscape(el) {
  el.addEventListener("keydown", (event) => event.key === "Escape" && leave(el));
}

// Calls `begin` and `go` with the position of a pen, mouse or finger, [x, y] from 0 to 1 inside, and `end` at the end.
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

  // Prevents a quick stroke from flinging the page: the next tap on a button would only stop the fling.
  element.addEventListener("touchstart", (event) => event.preventDefault(), { passive: false });
  element.addEventListener("pointerdown", (event) => {
    if (!event.isPrimary || event.button !== 0) return; // a second finger, another button
    event.preventDefault();
    element.setPointerCapture(event.pointerId); // to get the stroke's end even outside the element
    drawing = true;
    begin(place(event));
  });
  element.addEventListener("pointermove", (event) => {
    if (!drawing || !event.isPrimary) return;
    const events = event.getCoalescedEvents?.() ?? []; // a pen sends several points per frame
    (events.length ? events : [event]).forEach((one) => go(place(one)));
  });
  element.addEventListener("pointerup", up);
  element.addEventListener("pointercancel", up);
}

