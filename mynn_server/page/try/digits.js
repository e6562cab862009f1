// MNIST digits from the Pi, for the web workers that train a network, and for take.js.

import { SIDE, scale, strongest } from "./network.js";
import { _ } from "./translation.js";

const RECORD = 1 + SIDE * SIDE; // bytes: the label, then the pixels

// Two lists: digits to train on, and digits to test with. They are loaded once.
let loaded;
export const digits = () => (loaded ??= Promise.all(["digits.bin", "test.bin"].map(digitsOf)));

export async function digitsOf(name) {
  const answer = await fetch(name);
  const bytes = new Uint8Array(await answer.arrayBuffer());
  const found = Array.from({ length: Math.floor(bytes.length / RECORD) }, (_, number) => {
    const start = number * RECORD;
    return { label: bytes[start], pixels: bytes.slice(start + 1, start + RECORD) };
  });
  const usable = answer.ok && found.length && bytes.length % RECORD === 0 && found.every(({ label }) => label < 10);
  // Translators: comes after "No network can be taught: "; {name} is a file name
  if (!usable) throw new Error(_("{name} cannot be used", { name }));
  return found;
}

// Return the share of these digits that a network recognises.
export function score(network, some) {
  return some.filter(({ label, pixels }) => strongest(network.query(scale(pixels))) === label).length / some.length;
}
