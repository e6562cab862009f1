// Digits rotated: what distort.py's `rotated` does in Python, for a browser.

import { SIDE } from "./network.js";

const PIXELS = SIDE * SIDE;
const MIDDLE = (SIDE - 1) / 2;

// What turns digits about their middle, anticlockwise by so many degrees (clockwise where they are negative), and then
// shifts them by so many pixels: a function of a digit's 28 x 28 pixels, one byte each. Where a new pixel comes from is
// reckoned once, for all digits.
export function rotation(degrees, shiftDown = 0, shiftRight = 0) {
  const angle = (degrees * Math.PI) / 180;
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  const sources = Array.from({ length: PIXELS }, (_, place) => {
    const down = Math.floor(place / SIDE) - MIDDLE - shiftDown;
    const right = (place % SIDE) - MIDDLE - shiftRight;
    return around(MIDDLE + cos * down + sin * right, MIDDLE + cos * right - sin * down);
  });
  const places = Uint16Array.from(sources.flat(), ({ place }) => place);
  const shares = Float64Array.from(sources.flat(), ({ share }) => share);
  return (pixels) => new Uint8Array(PIXELS).map((_, pixel) => {
    let ink = 0.5; // to round it
    for (let i = 4 * pixel; i < 4 * pixel + 4; i++) ink += shares[i] * pixels[places[i]];
    return ink;
  });
}

// The four pixels between which a place lies, each with its share: the more, the nearer. Outside of the picture is
// background, and adds nothing.
function around(y, x) {
  const lines = (middle) => [Math.floor(middle), Math.floor(middle) + 1];
  const isInside = (line) => line >= 0 && line < SIDE;
  return lines(y).flatMap((row) => lines(x).map((column) => {
    if (!isInside(row) || !isInside(column)) return { place: 0, share: 0 };
    return { place: row * SIDE + column, share: (1 - Math.abs(y - row)) * (1 - Math.abs(x - column)) };
  }));
}
