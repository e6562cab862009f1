// Photo of a thing on a table, as a drawing: what differs from the table is ink.

import { frame } from "./frame.js";
import { decoded } from "./photo.js";
import { _ } from "./translation.js";

const SIDE = 112; // pixels, as drawings have
const CORNER = 8; // pixels a side: in the photo's corners there is only table
const LEAST = 40; // difference from the table, of 3 x 255: less is its grain

// Returns pixels 0 (table) to 255, 28 x 28. Throws an Error if there is no thing.
export async function thing(file) {
  const canvas = await decoded(file, SIDE, true);
  const side = canvas.width;
  const { data } = canvas.getContext("2d").getImageData(0, 0, side, side); // four bytes a pixel

  function middleOf(left, top, colour) {
    const places = Array.from({ length: CORNER ** 2 }, (_, place) => [place % CORNER, Math.floor(place / CORNER)]);
    return places.map(([x, y]) => data[4 * ((top + y) * side + left + x) + colour]).sort((a, b) => a - b)[CORNER ** 2 / 2];
  }

  const [near, far] = [0, side - CORNER];
  const corners = [[near, near], [far, near], [near, far], [far, far]];
  const colours = [0, 1, 2].map((colour) => corners.map(([left, top]) => middleOf(left, top, colour)));
  const away = Float64Array.from({ length: side ** 2 }, (_, place) => {
    const [x, y] = [(place % side) / side, Math.floor(place / side) / side];
    const shares = [(1 - x) * (1 - y), x * (1 - y), (1 - x) * y, x * y]; // of the corners: light comes from one side
    const table = colours.map((corner) => corner.reduce((sum, value, index) => sum + value * shares[index], 0));
    return Math.max(0, table.reduce((sum, value, colour) => sum + Math.abs(data[4 * place + colour] - value), -LEAST));
  });
  const most = Math.max(...away);
  try {
    return frame(away.map((value) => 255 * (1 - value / most)), side);
  } catch {
    throw new Error(_("I cannot see a thing here. Put it on an even table, with table all around it."));
  }
}
