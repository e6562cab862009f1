// Photos in the browser: buttons that take or choose them, and their pixels, whatever kind of file the device makes.

import { add, addButton } from "./live.js";
import { _ } from "./translation.js";

// Adds buttons for the camera, which needs no HTTPS, and for the device's pictures. They call `take` with each file.
export function addPhotoButtons(parent, take) {
  for (const [words, attribute, value] of [[_("Take a photo"), "capture", "environment"], [_("Choose pictures"), "multiple", ""]]) {
    const input = add(parent, "input", { type: "file", accept: "image/*", hidden: true });
    input.setAttribute(attribute, value);
    addButton(parent, { textContent: words }, () => input.click());
    input.addEventListener("change", async () => {
      const files = [...input.files];
      input.value = ""; // the same file can be chosen again
      for (const file of files) await take(file);
    });
  }
}

// Returns a canvas with a picture, upright, on white, of at most `most` pixels a side; with its middle if it is to be
// square. Throws an Error with a sentence.
export async function decoded(file, most, square = false) {
  const picture = await createImageBitmap(file).catch(() => {
    const problem = _("This browser cannot read {name}.", { name: file.name });
    const advice = _("Take the photo here, or let the camera make JPEGs (on an iPhone: Formats, Most Compatible).");
    throw new Error(`${problem} ${advice}`);
  });
  const least = Math.min(picture.width, picture.height);
  const [width, height] = square ? [least, least] : [picture.width, picture.height];
  const factor = Math.min(1, most / Math.max(width, height));
  const size = { width: Math.round(width * factor) || 1, height: Math.round(height * factor) || 1 };
  const canvas = Object.assign(document.createElement("canvas"), size);
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  Object.assign(pen, { fillStyle: "white", imageSmoothingQuality: "high" });
  pen.fillRect(0, 0, size.width, size.height);
  const corner = [(picture.width - width) / 2, (picture.height - height) / 2];
  pen.drawImage(picture, ...corner, width, height, 0, 0, size.width, size.height);
  return canvas;
}
