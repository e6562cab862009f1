// Live update of a page: at each event from the desk, the two parts are fetched, and replaced if they changed.
const trouble = document.querySelector(".trouble");
const parts = [".run", "main"];
const shown = Object.fromEntries(parts.map((name) => [name, document.querySelector(name)?.outerHTML]));
const hasEnded = () => document.documentElement.classList.contains("over");

async function refresh() {
  const answer = await fetch(location.pathname + location.search, { cache: "no-store" });
  if (answer.status === 401) return location.reload(); // the session has ended: shows the sign-in page
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  if (document.querySelector("main :is(dialog[open], :popover-open), :active")) return; // read, answered or pressed
  for (const name of parts) {
    const part = page.querySelector(name);
    if (!part || part.outerHTML === shown[name]) continue;
    shown[name] = part.outerHTML;
    const large = document.querySelector(".large")?.dataset.place; // on the wall, keep the enlarged card enlarged
    for (const card of part.querySelectorAll("[data-place]")) card.classList.toggle("large", card.dataset.place === large);
    keepChoices(part);
    const focused = document.activeElement.id;
    document.querySelector(name).replaceWith(document.adoptNode(part));
    if (focused) document.getElementById(focused)?.focus();
  }
  const running = Boolean(document.querySelector(".running"));
  document.querySelectorAll("fieldset").forEach((fieldset) => (fieldset.disabled = running));
}

// Keep typed text, choices that still exist, and unfolded details.
function keepChoices(part) {
  for (const control of part.querySelectorAll("select, input[id], textarea[id], details[id]")) {
    const before = document.getElementById(control.id);
    if (!before) continue;
    if (control.matches("details")) control.open ||= before.open;
    if (before.checked !== before.defaultChecked) control.checked = before.checked;
    if (!before.options && before.value !== before.defaultValue) control.value = before.value;
    if (before.selectedOptions?.[0]?.defaultSelected) continue;
    if (Array.from(control.options ?? [], (option) => option.value).includes(before.value)) control.value = before.value;
  }
}

// Return the changed fields of a form for settings or names, and its hidden fields.
function changes(form) {
  const same = (control) =>
    control.options ? control.selectedOptions[0].defaultSelected
    : control.type === "checkbox" ? control.checked === control.defaultChecked
    : control.type !== "hidden" && control.value === control.defaultValue;
  return Array.from(form.elements).filter((control) => control.name && !same(control)).map((control) =>
    [control.name, control.type === "checkbox" ? String(control.checked) : control.value]);
}

// Let the browser ask before unsaved changes in such a form are lost.
window.addEventListener("beforeunload", (event) => {
  const typed = Array.from(document.querySelectorAll(".changes"), changes).flat();
  if (typed.some(([name]) => name !== "version")) event.preventDefault();
});

// Show an error message, or with `done`, a success. over: whether the desk has ended.
function showMessage(text = "", { over = false, done = false } = {}) {
  trouble.textContent = text;
  trouble.hidden = !text;
  trouble.classList.toggle("done", done);
  document.documentElement.classList.toggle("over", over);
}

async function post(address, body, done = "") {
  const answer = await fetch(address, { method: "POST", body });
  if (answer.status === 401) return location.reload();
  if (answer.status === 428) return askPassword(address, body, await answer.text(), done);
  showMessage(answer.ok ? done : await answer.text(), { done: answer.ok });
  if (answer.ok && !address.startsWith("/run/")) document.querySelectorAll(`form[data-post="${address}"]`).forEach((form) => form.reset());
  return answer.ok;
}

// Upload the chosen files one by one. If a form takes several, the address ends in the file's name. Continue after a
// refused file.
async function upload(form) {
  const { files, multiple } = form.elements.files;
  const refused = [];
  for (const file of [...files]) {
    const name = multiple ? encodeURIComponent(file.name) : "";
    if (file.size > form.dataset.largest) refused.push(form.dataset.left.replace("{name}", () => file.name));
    else if (!(await post(form.dataset.upload + name, file, form.dataset.done))) refused.push(trouble.textContent);
  }
  form.reset();
  if (refused.length) showMessage(refused.join(" "));
}

// Ask for a password, and repeat the request with it. The desk keeps it until it ends.
function askPassword(address, body, question, done) {
  const dialog = document.getElementById("password");
  const form = dialog.querySelector("form");
  dialog.querySelector("p").textContent = question;
  form.onsubmit = (event) => {
    event.preventDefault();
    const password = new URLSearchParams(new FormData(form));
    form.reset();
    post(address, `${body}&${password}`, done);
  };
  dialog.showModal();
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button?.dataset.dialog) return document.getElementById(button.dataset.dialog).showModal();
  const question = button?.closest("dialog");
  if (question && !question.open) return event.preventDefault(); // the Enter key elsewhere in the form is not an answer
  question?.close();
  if (button?.dataset.post) return post(button.dataset.post, button.dataset.body, button.dataset.done);
  // A click on a card of the wall enlarges it; the next click anywhere ends this.
  const large = document.querySelector(".large");
  if (large) large.classList.remove("large");
  else event.target.closest("[data-place]")?.classList.add("large");
});
document.addEventListener("keydown", ({ key, target, altKey, ctrlKey, metaKey }) => {
  if (key === "Escape") document.querySelector(".large")?.classList.remove("large");
  if (altKey || ctrlKey || metaKey || target.closest("input, select, textarea")) return; // Alt and an arrow: the browser's own
  document.querySelector({ ArrowLeft: "a[rel=prev]", ArrowRight: "a[rel=next]" }[key] ?? "none")?.click();
});
document.addEventListener("submit", (event) => {
  const address = event.submitter.getAttribute("formaction") ?? event.target.dataset.post;
  if (event.target.dataset.upload) {
    event.preventDefault();
    return upload(event.target);
  }
  if (!address) return;
  event.preventDefault();
  const given = event.target.matches(".changes") ? changes(event.target) : new FormData(event.target, event.submitter);
  post(address, String(new URLSearchParams(given)), event.target.dataset.done);
});
document.addEventListener("input", () => hasEnded() || showMessage());
// A pasted list of names fills its box and the ones after it.
document.addEventListener("paste", (event) => {
  const boxes = [...document.querySelectorAll(".seats input")];
  const names = event.clipboardData.getData("text").trimEnd().split(/\r?\n/);
  const places = boxes.slice(boxes.indexOf(event.target));
  if (!boxes.includes(event.target) || names.length < 2) return;
  event.preventDefault();
  names.slice(0, places.length).forEach((name, number) => (places[number].value = name.trim()));
  const more = names.length - places.length;
  const left = trouble.dataset.left.replace("{lines}", names.length).replace("{seats}", places.length);
  showMessage(more > 0 ? left : "");
});
// Catch up on updates that were skipped meanwhile. (The page shows elsewhere that the desk has ended.)
for (const end of ["close", "toggle", "pointerup"]) document.addEventListener(end, () => refresh().catch(() => {}), true);

// A browser opens at most six connections to the desk, so a hidden page closes its event stream.
let events;
function connect() {
  events?.close();
  if (document.hidden) return;
  events = new EventSource(`/events/${document.documentElement.classList[0]}`); // reconnects by itself
  events.addEventListener("message", () => refresh().then(() => hasEnded() && showMessage(), () => {}));
  events.addEventListener("error", () =>
    refresh().catch(() => showMessage(trouble.dataset.ended, { over: true })),
  );
}
document.addEventListener("visibilitychange", connect);
connect();
document.body.classList.remove("starting");
