// Networks as text, to store them and to take them home: their weights as float32, which answer as the network does.

import { Network } from "./network.js";

/** Return a network in the format of the Pi's answer `own`. */
export function asStored(network) {
  const { learningRate, rule } = network;
  const bytes = new Uint8Array(Float32Array.from(network.weights()).buffer);
  return { weights: btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join("")), learningRate, rule };
}

export function fromStored({ weights, learningRate, rule }) {
  const bytes = Uint8Array.from(atob(weights), (letter) => letter.charCodeAt(0));
  return Network.from(Float64Array.from(new Float32Array(bytes.buffer)), learningRate, rule);
}
