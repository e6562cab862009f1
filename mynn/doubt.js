// Whether a picture is a digit at all, as doubt.py: a small network beside the one that reads, which has also met
// letters, doodles and scribbles.

import { LEAST_OF_DIGIT, DOUBT_STEP, DOUBT_WEIGHTS } from "./doubt_weights.js";
import { Network, SIDE, scale } from "./network.js";

const HALF = SIDE / 2;
const INPUTS = HALF ** 2;

let doorkeeper;

function ofDoubt() {
  if (doorkeeper) return doorkeeper;
  const weights = Float64Array.from(atob(DOUBT_WEIGHTS), (letter) => ((letter.charCodeAt(0) << 24) >> 24) * DOUBT_STEP);
  const hidden = weights.length / (INPUTS + 2);
  const rows = (start, count, length) =>
    Array.from({ length: count }, (_, row) => weights.subarray(start + row * length, start + (row + 1) * length));
  const [wih, who] = [rows(0, hidden, INPUTS), rows(hidden * INPUTS, 2, hidden)];
  return (doorkeeper = Network.of({ wih, who, learningRate: 0.1, rule: "book" }));
}

// The mean of each four pixels, rounded.
function coarse(pixels) {
  return Uint8Array.from({ length: INPUTS }, (_, place) => {
    const corner = 2 * SIDE * Math.floor(place / HALF) + 2 * (place % HALF);
    return (pixels[corner] + pixels[corner + 1] + pixels[corner + SIDE] + pixels[corner + SIDE + 1] + 2) >> 2;
  });
}

// Returns whether 784 pixels look like a digit.
export const looksLikeDigit = (pixels) => ofDoubt().query(scale(coarse(pixels)))[0] >= LEAST_OF_DIGIT;
