// Browser part of photos.py: takes photos, and shows what Python found in the latest one. Each digit has a box, which is
// a button.

import { add, addButton, leaveByEscape } from "../live.js";
import { eye } from "../paper.js";
import { addPhotoButtons, decoded } from "../photo.js";
import { _, inFigures, language, withArticle } from "../translation.js";

const MOST_SIDE = 800; // pixels of a photo; Python shrinks it further

function render({ model, el }) {
  el.classList.add("mynn-pad");
  el.lang = language;
  leaveByEscape(el);
  addPhotoButtons(add(el, "div", { className: "mynn-pad-kept" }), take);
  const says = add(el, "p");
  says.setAttribute("aria-live", "polite");
  const photo = add(el, "div", { className: "mynn-photos-photo" });
  const closer = add(el, "div", { className: "mynn-photos-closer" });
  const row = add(closer, "div", { className: "mynn-pad-kept" });
  const showSeen = eye(row);
  const showLike = eye(row, _("the most similar digit that it has learnt from"));
  const reads = add(row, "p");
  add(closer, "div", { textContent: _("It was a:") });
  const labels = add(closer, "div", { className: "mynn-pad-labels" });
  const keep = (label) => model.send({ keep: label, which: chosen });
  for (let digit = 0; digit < 10; digit++) {
    addButton(labels, { textContent: digit, title: withArticle(_("Keep it as a {digit}", { digit })) }, () => keep(digit));
  }
  addButton(closer, { textContent: _("No digit: take the box away") }, () => keep(-1));
  let chosen = 0;

  async function take(file) {
    says.textContent = _("The Pi looks at {name}, as soon as no cell is running …", { name: file.name });
    try {
      const canvas = await decoded(file, MOST_SIDE);
      const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height); // four bytes a pixel
      const grey = Uint8Array.from({ length: data.length / 4 }, (_, place) => {
        const [red, green, blue] = data.subarray(4 * place);
        return 0.3 * red + 0.6 * green + 0.1 * blue;
      });
      model.set("photo", canvas.toDataURL("image/jpeg"));
      model.save_changes();
      model.send({ width: canvas.width }, undefined, [grey.buffer]);
      chosen = 0;
    } catch (error) {
      says.textContent = error.message;
    }
  }

  function show() {
    says.textContent = model.get("says");
    photo.replaceChildren();
    if (model.get("photo")) add(photo, "img", { src: model.get("photo"), alt: _("your photo") });
    model.get("digits").forEach(({ box, answer, kept }, number) => {
      const name = kept ?? answer ?? "?";
      const button = addButton(photo, { textContent: name }, () => choose(number));
      button.ariaLabel = _("{name}, box {number}", { name, number: number + 1 });
      const [left, top, right, bottom] = box.map((part) => 100 * part);
      const [width, height] = [right - left, bottom - top];
      Object.entries({ left, top, width, height }).forEach(([side, part]) => (button.style[side] = `${part}%`));
    });
    choose(Math.min(chosen, model.get("digits").length - 1));
  }

  function choose(number) {
    chosen = Math.max(number, 0);
    photo.querySelectorAll("button").forEach((box, other) => box.setAttribute("aria-pressed", other === number));
    const digit = model.get("digits")[chosen];
    closer.hidden = !digit;
    if (!digit) return;
    const [seen, like] = [digit.seen, digit.like].map((bytes) => new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength));
    showSeen(seen);
    showLike(like);
    const places = { digit: digit.answer, output: inFigures(digit.output, 2), percent: Math.round(100 * digit.overlap) };
    reads.textContent =
      digit.answer === null
        ? _("This is no digit, I think: even the most similar one shares only {percent} % of its ink.", places)
        : withArticle(_("This is a {digit}, with {output}. The most similar digit shares {percent} % of its ink.", places));
  }

  model.on("change:digits change:says", show);
  show();
}

export default { render };
