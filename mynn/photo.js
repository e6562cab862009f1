// Photos in the browser: buttons that take or choose them, and what the browser makes of the device's kind of file.

import { add, addButton } from "./live.js";
import { _ } from "./translation.js";

// Adds buttons for the camera, which needs no HTTPS, and for the device's pictures, of which `many` may be chosen at
// once. They call `take` with each file.
export function addPhotoButtons(parent, take, many = false) {
  const choose = many ? [_("Choose pictures"), { multiple: "" }] : [_("Choose a picture"), {}];
  for (const [words, attributes] of [[_("Take a photo"), { capture: "environment" }], choose]) {
    const input = add(parent, "input", { type: "file", accept: "image/*", hidden: true });
    Object.entries(attributes).forEach((pair) => input.setAttribute(...pair));
    addButton(parent, { textContent: words }, () => input.click());
    input.addEventListener("change", async () => {
      const files = [...input.files];
      input.value = ""; // the same file can be chosen again
      for (const file of files) await take(file);
    });
  }
}

// Returns a picture that a canvas can draw, upright. Throws an Error with a sentence.
export async function decoded(file) {
  try {
    return await createImageBitmap(file);
  } catch {
    const problem = _("This browser cannot read {name}.", { name: file.name });
    const advice = _("Take the photo here, or let the camera make JPEGs (on an iPhone: Formats, Most Compatible).");
    throw new Error(`${problem} ${advice}`);
  }
}
