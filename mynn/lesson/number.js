// A number that is guessed: fields.py's NumberField in the browser.

const written = (number) => number.toLocaleString("en-GB", { maximumFractionDigits: 6 });

function render({ model, el }) {
  const [low, high, unit] = ["low", "high", "unit"].map((name) => model.get(name));
  el.classList.add("mynn-guess");
  leaveByEscape(el);
  const id = `mynn-guess-${Math.random().toString(36).slice(2)}`; // each field has a copy of this file: none can count
  add(el, "label", { className: "mynn-guess-question", htmlFor: id, textContent: model.get("question") });
  const row = add(el, "div", { className: "mynn-guess-row" });
  const entry = add(row, "input", {
    className: "mynn-guess-entry",
    id,
    type: "text", // "number" takes no comma where people write one
    inputMode: low < 0 ? "text" : "decimal",
    autocomplete: "off",
    maxLength: 20,
  });
  if (unit) add(row, "span", { textContent: unit });
  entry.dataset.lmSuppressShortcuts = "true"; // its keys are not the notebook's
  addButton(row, { className: "mynn-guess-button", textContent: "Guess" }, enter);
  const says = add(el, "div", { className: "mynn-guess-says" });
  says.setAttribute("aria-live", "polite");

  const show = () => {
    const value = model.get("value");
    says.textContent =
      value === null
        ? `A number from ${written(low)} to ${written(high)}, then Enter.`
        : `Your guess: ${written(value)} ${unit}`.trim() + ". Now run the next cell.";
    if (value !== null) entry.value = value;
  };

  function enter() {
    const text = entry.value.trim().replace("%", "").trim().replace(",", ".");
    const number = text === "" ? NaN : Number(text);
    if (!Number.isFinite(number) || number < low || number > high) {
      says.textContent = `Please enter a number from ${written(low)} to ${written(high)}.`;
      entry.select();
      return;
    }
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
