// Rotation of digits in the browser, as `rotated` in distort.py.

import { SIDE } from "./network.js";

const PIXELS = SIDE * SIDE;
const MIDDLE = (SIDE - 1) / 2;

// Returns a function of a digit's 28 x 28 pixels, one byte each. It rotates them about their middle, anticlockwise by
// so many degrees (clockwise if negative), and then shifts them by so many pixels. The sources of the new pixels are
// computed once, for all digits.
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

// The four pixels around a point, each with its weight in bilinear interpolation. Outside the picture is background,
// with weight 0.
function around(y, x) {
  const lines = (middle) => [Math.floor(middle), Math.floor(middle) + 1];
  const isInside = (line) => line >= 0 && line < SIDE;
  return lines(y).flatMap((row) => lines(x).map((column) => {
    if (!isInside(row) || !isInside(column)) return { place: 0, share: 0 };
    return { place: row * SIDE + column, share: (1 - Math.abs(y - row)) * (1 - Math.abs(x - column)) };
  }));
}
