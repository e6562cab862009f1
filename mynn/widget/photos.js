// Browser part of photos.py: takes a photo, and shows what Python found in it. Each digit has a box, which is a button.

import { add, addButton, leaveByEscape } from "../live.js";
import { SIDE } from "../network.js";
import { STRANGE, addLabels, context, eye } from "../paper.js";
import { addPhotoButtons, decoded } from "../photo.js";
import { _, inFigures, language, withArticle } from "../translation.js";

const MOST_SIDE = 800; // pixels of a photo; Python shrinks it further

const bytesOf = ({ buffer, byteOffset }) => new Uint8Array(buffer, byteOffset, SIDE ** 2);

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
  const reads = add(row, "p");
  const keep = (label) => model.send({ keep: label, which: chosen });
  addLabels(closer, keep);
  addButton(closer, { textContent: _("No digit: take the box away") }, () => keep(-1));
  let chosen = 0;

  async function take(file) {
    says.textContent = _("The Pi looks at {name}, as soon as no cell is running …", { name: file.name });
    try {
      const picture = await decoded(file);
      const factor = Math.min(1, MOST_SIDE / Math.max(picture.width, picture.height));
      const pen = context(Math.ceil(picture.width * factor), Math.ceil(picture.height * factor));
      pen.drawImage(picture, 0, 0, pen.canvas.width, pen.canvas.height);
      model.send({ photo: pen.canvas.toDataURL("image/jpeg") });
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
      button.style.inset = box.map((part) => `${100 * part}%`).join(" ");
    });
    choose(Math.min(chosen, model.get("digits").length - 1));
  }

  function choose(number) {
    chosen = number;
    photo.querySelectorAll("button").forEach((box, other) => box.setAttribute("aria-pressed", other === number));
    const digit = model.get("digits")[number];
    closer.hidden = !digit;
    if (!digit) return;
    showSeen(bytesOf(digit.seen));
    const places = { digit: digit.answer, output: inFigures(digit.output, 2) };
    reads.textContent = digit.answer === null ? STRANGE : withArticle(_("This is a {digit}, with {output}.", places));
  }

  model.on("msg:custom", show);
  show();
}

export default { render };
