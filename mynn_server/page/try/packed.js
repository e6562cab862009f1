// A network for digits in little room, for the file to take home: each weight in one byte, and each row of weights with
// the number that the row's bytes are multiplied by.

import { Network, SIDE } from "./network.js";

const [OUTPUTS, MOST] = [10, 127]; // these names are of the bundle in take.js, too

export function packed({ wih, who, learningRate, rule }) {
  const rows = [...wih, ...who];
  const scales = rows.map((row) => Math.max(...row.map(Math.abs)) / MOST || 1);
  const bytes = rows.map((row, place) => Uint8Array.from(row, (weight) => Math.round(weight / scales[place])));
  return { scales, weights: btoa(bytes.map((row) => String.fromCharCode(...row)).join("")), learningRate, rule };
}

export function unpacked({ scales, weights, learningRate, rule }) {
  const bytes = Int8Array.from(atob(weights), (letter) => letter.charCodeAt(0));
  const hidden = scales.length - OUTPUTS;
  let end = 0;
  const rows = scales.map((scale, place) => {
    const start = end;
    end += place < hidden ? SIDE ** 2 : hidden;
    return Float64Array.from(bytes.subarray(start, end), (byte) => byte * scale);
  });
  return Network.of({ wih: rows.slice(0, hidden), who: rows.slice(hidden), learningRate, rule });
}
