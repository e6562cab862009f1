// Web worker that trains a network, so that the page stays responsive. Each message says how many digits to train on,
// and whether to test afterwards. It is answered with the result. Nothing happens between two messages.

import { digits, score } from "./digits.js";
import { rotation } from "./distort.js";
import { Network, SIDE, scale, targetsFor } from "./network.js";

const TURNS = [(pixels) => pixels, rotation(10), rotation(-10)]; // degrees, as in the blog and in sweep.py
let network = null;
let turns = 1; // how many of TURNS each digit is trained in
let trained = 0; // digits so far, turned ones included
let points = []; // of the curve: [digits trained on, share of the test digits recognised]

// Return a training digit by its number: each digit comes upright, then turned to the left, then to the right.
function example(training, number) {
  const { label, pixels } = training[Math.floor(number / turns) % training.length];
  return { label, pixels: TURNS[number % turns](pixels) };
}

// Return after how many digits to test: often at first. A test takes as long as training on about 500 digits.
const pause = () => (trained < 100 ? 20 : trained < 1000 ? 100 : trained < 10_000 ? 1000 : 5000);

self.onmessage = async ({ data: { begin, go, test } }) => {
  try {
    const [training, testing] = await digits();
    if (begin) {
      const { hiddenNodes, learningRate, rule, turned, mine } = begin; // mine: a network to go on with
      network = mine ? Network.of(mine) : new Network(SIDE * SIDE, hiddenNodes, 10, learningRate, rule);
      turns = turned ? TURNS.length : 1;
      ({ trained, points } = begin);
      if (!mine) points = [[0, score(network, testing)]];
    }
    let moment = null;
    const round = turns * training.length;
    const end = trained + Math.min(go, round - (trained % round)); // not beyond the end of a round
    while (trained < end) {
      const digit = example(training, trained);
      const [inputs, targets] = [scale(digit.pixels), targetsFor(digit.label)];
      const isShown = trained === end - 1;
      const outputs = isShown && network.query(inputs);
      network.train(inputs, targets);
      trained++;
      if (isShown) moment = { ...digit, outputs, targets, then: network.query(inputs) };
      if (trained % pause() === 0) points.push([trained, score(network, testing)]);
    }
    if (test && points.at(-1)[0] !== trained) points.push([trained, score(network, testing)]);
    self.postMessage({ network, trained, points, moment, round });
  } catch (error) {
    self.postMessage({ trouble: error.message });
  }
};
