// Web worker that trains a network on a pupil's own drawings. Each round turns and shifts them a little, at random. The
// constants were chosen by the measurements in docs/develop/measurements-network.md.

import { rotation } from "./distort.js";
import { Network, SIDE, scale, targetsFor } from "./network.js";

const HIDDEN_NODES = 50;
const LEARNING_RATE = 0.2;
const ROUNDS = 50;
const DEGREES = 10;
const SHIFT = 1; // pixels

const within = (most) => most * (2 * Math.random() - 1);

// Shuffle: sort pairs of a random number and a drawing.
const shuffled = (drawings) =>
  drawings.map((drawing) => [Math.random(), drawing]).sort(([a], [b]) => a - b).map(([, drawing]) => drawing);

self.onmessage = ({ data: { drawings, classes } }) => {
  const network = new Network(SIDE * SIDE, HIDDEN_NODES, classes, LEARNING_RATE);
  for (let round = 0; round < ROUNDS; round++) {
    const move = rotation(within(DEGREES), within(SHIFT), within(SHIFT));
    for (const { pixels, label } of shuffled(drawings)) network.train(scale(move(pixels)), targetsFor(label, classes));
  }
  self.postMessage(network);
};
