// The browser's part of NumberField (fields.py): an input for a number.

import { add, addButton, leave, leaveByEscape } from "../live.js";
import { _, inFigures, language, numbersIn } from "../translation.js";

function render({ model, el }) {
  const [low, high, unit] = ["low", "high", "unit"].map((name) => model.get(name));
  el.classList.add("mynn-guess");
  el.lang = language;
  leaveByEscape(el);
  const id = `mynn-guess-${Math.random().toString(36).slice(2)}`; // no counter: each field has its own copy of this file
  add(el, "label", { className: "mynn-guess-question", htmlFor: id, textContent: model.get("question") });
  const row = add(el, "div", { className: "mynn-guess-row" });
  const entry = add(row, "input", {
    className: "mynn-guess-entry",
    id,
    type: "text", // "number" refuses a decimal comma
    inputMode: low < 0 ? "text" : "decimal",
    autocomplete: "off",
    maxLength: 20,
  });
  if (unit) add(row, "span", { textContent: unit });
  entry.dataset.lmSuppressShortcuts = "true"; // keys pressed here are not notebook shortcuts
  // Translators: on a button
  addButton(row, { className: "mynn-guess-button", textContent: _("Guess") }, enter);
  const says = add(el, "div", { className: "mynn-guess-says" });
  says.setAttribute("aria-live", "polite");

  const range = { low: inFigures(low), high: inFigures(high) };

  const show = () => {
    const value = model.get("value");
    says.textContent =
      value === null
        ? _("A number from {low} to {high}, then Enter.", range)
        : _("Your guess: {guess}. Now run the next cell.", { guess: `${inFigures(value)} ${unit}`.trim() });
    if (value !== null) entry.value = String(value).replace(".", inFigures(0.5)[1]); // local decimal separator
  };

  function enter() {
    const possible = numbersIn(entry.value).filter((number) => low <= number && number <= high);
    if (possible.length === 1) return take(possible[0]);
    const asked = _("Which of them do you mean?");
    says.textContent = possible.length ? asked : _("Please enter a number from {low} to {high}.", range);
    for (const number of possible)
      addButton(says, { className: "mynn-guess-button", textContent: inFigures(number) }, () => take(number));
    entry.select();
  }

  function take(number) {
    model.set("value", number);
    model.save_changes();
    show();
    entry.blur(); // puts a phone's keyboard away
    leave(el);
  }

  entry.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    event.stopPropagation();
    enter();
  });
  model.on("change:value", show);
  show();
}

export default { render };
