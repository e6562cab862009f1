// Networks as text: as they are, to store them, and with one byte a weight, for the file to take home.

import { Network } from "./network.js";

const MOST = 127;
const asText = (bytes) => btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
const asBytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

/** Weights as float32, as in the Pi's answer `own`. */
export function asStored(network) {
  const { learningRate, rule } = network;
  return { weights: asText(new Uint8Array(Float32Array.from(network.weights()).buffer)), learningRate, rule };
}

export function fromStored({ weights, learningRate, rule }) {
  return Network.from(Float64Array.from(new Float32Array(asBytes(weights).buffer)), learningRate, rule);
}

/** Whole numbers from -127 to 127 as weights, and for each row of them the number to multiply them by. */
export function packed({ wih, who, learningRate, rule }) {
  const rows = [...wih, ...who];
  const scales = rows.map((row) => Math.max(...row.map(Math.abs)) / MOST || 1);
  const bytes = rows.flatMap((row, place) => Array.from(row, (weight) => Math.round(weight / scales[place])));
  return { scales, weights: asText(Uint8Array.from(bytes)), learningRate, rule };
}

export function unpacked({ scales, weights, learningRate, rule }) {
  const network = Network.from(Float64Array.from(new Int8Array(asBytes(weights).buffer)), learningRate, rule);
  [...network.wih, ...network.who].forEach((row, place) => row.set(row.map((whole) => whole * scales[place])));
  return network;
}
