// Trains a network beside the page, which stays quick meanwhile. The page says how many digits to go on, and gets what
// came of it; between two such messages nothing happens.

import { digits, score } from "./digits.js";
import { rotation } from "./distort.js";
import { Network, SIDE, scale, targetsFor } from "./network.js";

const TURNS = [(pixels) => pixels, rotation(10), rotation(-10)]; // degrees, as in the blog and in sweep.py
let network = null;
let turns = 1; // how many of these each digit is learnt in
let trained = 0; // digits, a turned one is one more
let points = []; // of the curve: [digits, the part of the test digits that was recognised then]

// The digits to learn from, in their order: each as it was written, then to the left, then to the right.
function example(training, number) {
  const { label, pixels } = training[Math.floor(number / turns) % training.length];
  return { label, pixels: TURNS[number % turns](pixels) };
}

// It is tested often at first, when it learns most. A test takes as long as learning from some 500 digits.
const pause = () => (trained < 100 ? 20 : trained < 1000 ? 100 : trained < 10_000 ? 1000 : 5000);

self.onmessage = async ({ data: { begin, go } }) => {
  try {
    const [training, testing] = await digits;
    if (begin) {
      network = new Network(SIDE * SIDE, begin.hiddenNodes, 10, begin.learningRate, begin.rule);
      turns = begin.turned ? TURNS.length : 1;
      [trained, points] = [0, [[0, score(network, testing)]]];
    }
    let moment = null;
    const round = turns * training.length;
    const end = trained + Math.min(go, round - (trained % round)); // not beyond the last digit
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
    self.postMessage({ network, trained, points, moment, round });
  } catch (error) {
    self.postMessage({ trouble: error.message });
  }
};
