// A drawing framed as MNIST has its digits, of one size and in one place: what images.py does in Python, for a browser.
// A drawing's paper is even, and its pen thick enough, so two of the steps there are not needed.

import { SIDE, sums } from "./network.js";

// As in images.py.
const DIGIT_SIDE = 20;
const BARS_SIDE = 18;
const BAR = 0.4;
const CONTRAST = 20;
const FAINTEST = 0.25;
const SMALLEST = 20;
const PIECES = 12;
const MOST_INK = 0.75; // of the paper

// Pixels 0 (background) to 255 (ink), 28 x 28, of a drawing: its brightness, side x side, dark on white. A drawing in
// which nothing can be seen is an Error. Pieces of ink that are smaller than this part of the largest one are left out.
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

// The pieces that the ink consists of, each a list of the places in it.
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

// The ink at these places, as the rows of the smallest rectangle that has all of it.
function cropped(ink, places, side) {
  const [ys, xs] = [places.map((place) => Math.floor(place / side)), places.map((place) => place % side)];
  const [top, left] = [Math.min(...ys), Math.min(...xs)];
  const [bottom, right] = [Math.max(...ys), Math.max(...xs)];
  const rows = Array.from({ length: bottom - top + 1 }, () => new Float64Array(right - left + 1));
  places.forEach((place, index) => (rows[ys[index] - top][xs[index] - left] = ink[place]));
  return rows;
}

// Ink that fills its rectangle, brought to MNIST's size and place.
function placed(ink) {
  const columns = transposed(ink);
  const size = Math.max(ink.length, columns.length);
  const factor = Math.min(DIGIT_SIDE / size, BARS_SIDE / Math.max(betweenBars(ink), betweenBars(columns)));
  const [down, across] = [shares(ink, factor), shares(columns, factor)];
  const narrow = ink.map((row) => sums(across, row)); // as high as before, and 28 wide
  const small = transposed(narrow).map((column) => sums(down, column)); // a list of columns
  const pixels = transposed(small).flatMap((row) => [...row]);
  const most = Math.max(...pixels);
  return Uint8Array.from(pixels, (value) => Math.round((value * 255) / most));
}

const transposed = (rows) => Array.from(rows[0], (_, x) => Float64Array.from(rows, (row) => row[x]));
const totals = (lines) => lines.map((line) => line.reduce((a, b) => a + b));

// From the first line that is a bar to the last one: how many there are.
function betweenBars(lines) {
  const filled = totals(lines);
  const least = BAR * Math.max(...filled);
  const isBar = (total) => total >= least;
  return filled.findLastIndex(isBar) - filled.findIndex(isBar) + 1;
}

// How much of each of these lines goes into each of 28 pixels, so that the centre of mass comes to the middle: the
// nearer to a pixel's own middle, the more.
function shares(lines, factor) {
  const filled = totals(lines);
  const centre = filled.reduce((sum, total, line) => sum + total * (line + 0.5), 0) / totals([filled])[0];
  const first = Math.min(Math.max(SIDE / 2 + 0.5 - centre * factor, 0), SIDE - lines.length * factor); // inside
  const narrowing = Math.min(factor, 1);
  return Array.from({ length: SIDE }, (_, pixel) => {
    const middle = (pixel + 0.5 - first) / factor;
    const share = (line) => Math.max(0, 1 - Math.abs(line + 0.5 - middle) * narrowing);
    let all = 0; // of lines outside, too, in which there is no ink
    for (let line = Math.floor(middle - 1 / narrowing); line <= middle + 1 / narrowing; line++) all += share(line);
    return Float64Array.from(lines, (_, line) => share(line) / all);
  });
}
