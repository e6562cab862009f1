// Image preprocessing in the browser, as images.py: brings a drawing to the size and place of MNIST's digits. A drawing
// is dark on even paper, with a thick pen, so the steps of images.py for other pictures are left out.

import { SIDE, sums } from "./network.js";

// As in images.py.
const DIGIT_SIDE = 20;
const BARS_SIDE = 18;
const BAR = 0.4;
const CONTRAST = 20;
const FAINTEST = 0.25;
const SMALLEST = 20;
const PIECES = 12;
const MOST_INK = 0.75; // largest part of the paper that ink may cover

// Returns pixels 0 (background) to 255 (ink), 28 x 28. brightness: of the drawing, side x side, dark on white. speck:
// pieces of ink smaller than this fraction of the largest one are left out. Throws an Error if there is no digit.
export function frame(brightness, side, speck = 0.05) {
  const strongestInk = 255 - Math.min(...brightness);
  const least = (FAINTEST / 2) * strongestInk;
  const ink = new Float64Array(brightness.length).map((_, place) => 255 - brightness[place]);
  ink.forEach((value, place) => value > least || (ink[place] = 0));
  const pieces = piecesOf(ink, side);
  const largest = Math.max(0, ...pieces.map((piece) => piece.length));
  const large = pieces.filter((piece) => piece.length >= speck * largest);
  const covered = pieces.flat().length > MOST_INK * ink.length;
  if (2 * least < FAINTEST * CONTRAST || largest < SMALLEST || large.length > PIECES || covered) {
    throw new Error("no digit can be seen in this picture; draw one, with paper all around it");
  }
  return placed(cropped(ink, large.flat(), side));
}

// The connected components of the ink, each a list of indices.
function piecesOf(ink, side) {
  const seen = new Uint8Array(ink.length);
  const pieces = [];
  for (let start = 0; start < ink.length; start++) {
    if (!ink[start] || seen[start]) continue;
    const piece = [start];
    seen[start] = 1;
    for (const place of piece) {
      const [row, column] = [Math.floor(place / side), place % side];
      for (let y = Math.max(0, row - 1); y <= Math.min(side - 1, row + 1); y++) {
        for (let x = Math.max(0, column - 1); x <= Math.min(side - 1, column + 1); x++) {
          const next = y * side + x;
          if (ink[next] && !seen[next]) piece.push(next);
          seen[next] = 1;
        }
      }
    }
    pieces.push(piece);
  }
  return pieces;
}

// The ink at these indices, as the rows of its bounding box.
function cropped(ink, places, side) {
  const [ys, xs] = [places.map((place) => Math.floor(place / side)), places.map((place) => place % side)];
  const [top, left] = [Math.min(...ys), Math.min(...xs)];
  const [bottom, right] = [Math.max(...ys), Math.max(...xs)];
  const rows = Array.from({ length: bottom - top + 1 }, () => new Float64Array(right - left + 1));
  places.forEach((place, index) => (rows[ys[index] - top][xs[index] - left] = ink[place]));
  return rows;
}

// Scales ink that fills its rectangle to MNIST's size, and centres it.
function placed(ink) {
  const columns = transposed(ink);
  const size = Math.max(ink.length, columns.length);
  const factor = Math.min(DIGIT_SIDE / size, BARS_SIDE / Math.max(betweenBars(ink), betweenBars(columns)));
  const [down, across] = [shares(ink, factor), shares(columns, factor)];
  const narrow = ink.map((row) => sums(across, row)); // height unchanged, 28 wide
  const small = transposed(narrow).map((column) => sums(down, column)); // a list of columns
  const pixels = transposed(small).flatMap((row) => [...row]);
  const most = Math.max(...pixels);
  return Uint8Array.from(pixels, (value) => Math.round((value * 255) / most));
}

const transposed = (rows) => Array.from(rows[0], (_, x) => Float64Array.from(rows, (row) => row[x]));
const totals = (lines) => lines.map((line) => line.reduce((a, b) => a + b));

// The number of lines from the first bar to the last.
function betweenBars(lines) {
  const filled = totals(lines);
  const least = BAR * Math.max(...filled);
  const isBar = (total) => total >= least;
  return filled.findLastIndex(isBar) - filled.findIndex(isBar) + 1;
}

// Resampling weights, a row for each of 28 pixels: the nearer a line to the pixel's centre, the larger its weight. They
// put the centre of mass in the middle.
function shares(lines, factor) {
  const filled = totals(lines);
  const centre = filled.reduce((sum, total, line) => sum + total * (line + 0.5), 0) / totals([filled])[0];
  const first = Math.min(Math.max(SIDE / 2 + 0.5 - centre * factor, 0), SIDE - lines.length * factor); // stays inside
  const narrowing = Math.min(factor, 1);
  return Array.from({ length: SIDE }, (_, pixel) => {
    const middle = (pixel + 0.5 - first) / factor;
    const share = (line) => Math.max(0, 1 - Math.abs(line + 0.5 - middle) * narrowing);
    let all = 0; // includes lines outside the ink
    for (let line = Math.floor(middle - 1 / narrowing); line <= middle + 1 / narrowing; line++) all += share(line);
    return Float64Array.from(lines, (_, line) => share(line) / all);
  });
}
