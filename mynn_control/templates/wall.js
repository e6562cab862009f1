// The teacher can take things off with one click, while the page is served.
beforeNews = (page) => {
  const before = new Set(Array.from(document.querySelectorAll("article"), (card) => card.dataset.digest));
  const large = document.querySelector("article.large")?.dataset.place;
  for (const card of page.querySelectorAll("article")) {
    card.classList.toggle("new", !before.has(card.dataset.digest));
    card.classList.toggle("large", card.dataset.place === large);
  }
};

// A click on a card makes it large, another one small again.
document.addEventListener("click", ({ target }) => {
  const card = target.closest("article");
  const large = document.querySelector("article.large");
  if (target.matches(".take-off")) return press("take-off", card.dataset.place);
  if (target.matches(".put-back")) return press("put-back");
  if (large) large.classList.remove("large");
  else if (card) card.classList.add("large");
});
document.addEventListener("keydown", ({ key }) => {
  if (key === "Escape") document.querySelector("article.large")?.classList.remove("large");
});
