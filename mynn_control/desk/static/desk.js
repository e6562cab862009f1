// The page follows the desk: an event says that something is new, and then <main> is replaced.
const trouble = document.querySelector(".trouble");
let shown = "";

async function refresh() {
  const text = await (await fetch(location.pathname, { cache: "no-store" })).text();
  if (text === shown) return;
  shown = text;
  const main = new DOMParser().parseFromString(text, "text/html").querySelector("main");
  keepCards(main);
  document.querySelector("main").replaceWith(document.adoptNode(main));
  const running = Boolean(document.querySelector(".running"));
  document.querySelectorAll("fieldset").forEach((fieldset) => (fieldset.disabled = running));
}

// Of the wall: a card that is large stays so, and one that is new glows.
function keepCards(main) {
  const before = new Set(Array.from(document.querySelectorAll("[data-digest]"), (card) => card.dataset.digest));
  const large = document.querySelector(".large")?.dataset.place;
  for (const card of main.querySelectorAll("[data-digest]")) {
    card.classList.toggle("new", !before.has(card.dataset.digest));
    card.classList.toggle("large", card.dataset.place === large);
  }
}

function complain(text = "") {
  trouble.textContent = text;
  trouble.hidden = !text;
  document.documentElement.classList.toggle("over", Boolean(text));
}

async function press(address, what) {
  const answer = await fetch(address, { method: "POST", body: what });
  if (!answer.ok) complain(await answer.text());
}

document.addEventListener("click", ({ target }) => {
  const button = target.closest("button");
  if (button?.dataset.press) {
    button.closest("dialog")?.close();
    return press(button.dataset.press, button.dataset.what);
  }
  if (button?.dataset.asks) return document.getElementById(button.dataset.asks).showModal();
  // A click on a card of the wall makes it large, another one small again.
  const large = document.querySelector(".large");
  if (large) large.classList.remove("large");
  else target.closest("[data-digest]")?.classList.add("large");
});
document.addEventListener("keydown", ({ key }) => {
  if (key === "Escape") document.querySelector(".large")?.classList.remove("large");
});
document.addEventListener("submit", (event) => {
  const { press: address } = event.target.dataset;
  if (!address) return;
  event.preventDefault();
  press(address, event.target.elements.what.value);
});

// A browser has six connections to the desk at most, so a page that nobody sees leaves its own.
const tab = document.documentElement.className;
let events;
function follow() {
  events?.close();
  if (document.hidden) return;
  events = new EventSource(`/events/${tab}`); // connects again by itself
  events.addEventListener("message", () => refresh().then(() => complain(), () => {}));
  events.addEventListener("error", () => complain("The desk has ended. This is what it last showed."));
}
document.addEventListener("visibilitychange", follow);
follow();
