// Photo of a thing on a table, as a drawing: what differs from the table is ink.

import { frame } from "./frame.js";
import { context } from "./paper.js";
import { decoded } from "./photo.js";
import { _ } from "./translation.js";

const SIDE = 112; // pixels, as drawings have
const CORNER = 8; // pixels a side: in the photo's corners there is only table
const LEAST = 40; // difference from the table, of 3 x 255: less is its grain

// Returns pixels 0 (table) to 255, 28 x 28. Throws an Error with a sentence.
export async function thing(file) {
  const photo = await decoded(file);
  const side = Math.min(photo.width, photo.height);
  const [pen, corners] = [context(SIDE), context(2)];
  pen.drawImage(photo, (photo.width - side) / 2, (photo.height - side) / 2, side, side, 0, 0, SIDE, SIDE);
  for (const [x, y] of [[0, 0], [1, 0], [0, 1], [1, 1]]) {
    corners.drawImage(pen.canvas, x * (SIDE - CORNER), y * (SIDE - CORNER), CORNER, CORNER, x, y, 1, 1);
  }
  // The browser smooths the four pixels into a table that is lit from one side, and subtracts it.
  pen.globalCompositeOperation = "difference";
  pen.drawImage(corners.canvas, -SIDE / 2, -SIDE / 2, 2 * SIDE, 2 * SIDE);
  const { data } = pen.getImageData(0, 0, SIDE, SIDE); // four bytes a pixel
  const sum = (place) => data[4 * place] + data[4 * place + 1] + data[4 * place + 2];
  const away = Float64Array.from({ length: SIDE ** 2 }, (_, place) => Math.max(0, sum(place) - LEAST));
  const most = Math.max(...away);
  try {
    return frame(away.map((value) => 255 * (1 - value / most)), SIDE);
  } catch {
    throw new Error(_("I cannot see a thing here. Put it on an even table, with table all around it."));
  }
}
