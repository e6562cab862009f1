"use strict";
// The page is served while `make wall` runs. Then it asks whether there is something new, and the teacher can take
// things off with one click. Opened as a file, it shows what was on the wall last.
const EVERY = 1000; // milliseconds
const served = location.protocol === "http:";
document.documentElement.classList.toggle("served", served);

async function ask(path, options = {}) {
  const answer = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(10000), ...options });
  if (!answer.ok) throw new Error(answer.statusText);
  return answer.text();
}

async function refresh() {
  if ((await ask("/version")) === document.body.dataset.version) return;
  const page = new DOMParser().parseFromString(await ask("/"), "text/html");
  const before = new Set(Array.from(document.querySelectorAll("article"), (card) => card.dataset.digest));
  const large = document.querySelector("article.large")?.dataset.place;
  for (const card of page.querySelectorAll("article")) {
    card.classList.toggle("new", !before.has(card.dataset.digest));
    card.classList.toggle("large", card.dataset.place === large);
  }
  page.querySelector("script").remove();
  document.body.replaceWith(document.adoptNode(page.body));
}

async function tell(path, what) {
  await ask(path, { method: "POST", headers: { "X-Wall": "1" }, body: what });
  await refresh();
}

async function keepRefreshing() {
  try {
    await refresh();
    document.documentElement.classList.remove("over");
  } catch {
    document.documentElement.classList.add("over");
  }
  setTimeout(keepRefreshing, EVERY);
}

// A click on a card makes it large, another one small again.
document.addEventListener("click", ({ target }) => {
  const card = target.closest("article");
  const large = document.querySelector("article.large");
  if (target.matches(".take-off")) return tell("/take-off", card.dataset.place);
  if (target.matches(".put-back")) return tell("/put-back", "");
  if (large) large.classList.remove("large");
  else if (card) card.classList.add("large");
});
document.addEventListener("keydown", ({ key }) => {
  if (key === "Escape") document.querySelector("article.large")?.classList.remove("large");
});
if (served) setTimeout(keepRefreshing, EVERY);
