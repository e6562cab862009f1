// Neural network of three layers in the browser, trained one example at a time, as network.py and damage.py.
//
//     inputs  --wih-->  hidden nodes  --who-->  outputs
//
// Each node adds up its incoming signals, each times the weight of its link, and squashes the sum into 0..1 with the
// sigmoid. Training compares the outputs with the targets and changes every weight a little, so that the same inputs
// would give slightly better outputs next time.

export const RULES = ["book", "gradient", "cross-entropy"]; // explained in network.py
export const SIDE = 28; // a digit is 28 x 28 pixels
const [PIXELS, LABELS] = [SIDE * SIDE, 10];
const HIGHEST_RATE = 10; // as in checks.py

export class Network {
  // wih           the weights from inputs to hidden nodes: a row for each hidden node, wih[j][i] from input i to node j
  // who           the weights from hidden nodes to outputs: a row for each output, who[k][j] from node j to output k
  // learningRate  how far one example changes the weights
  // rule          how the output errors change the weights
  constructor(inputNodes, hiddenNodes, outputNodes, learningRate, rule = "book") {
    const wih = randomRows(hiddenNodes, inputNodes);
    const who = randomRows(outputNodes, hiddenNodes);
    Object.assign(this, checked({ wih, who, learningRate, rule }));
  }

  // A network for digits from one array of weights, wih row by row, then who: the format of checkpoint.py for browsers.
  static from(weights, learningRate = 0.1, rule = "book") {
    const hidden = weights.length / (PIXELS + LABELS);
    if (!Number.isInteger(hidden)) throw new RangeError("its arrays do not fit together");
    const row = (start, length) => weights.subarray(start, start + length);
    const wih = Array.from({ length: hidden }, (_, j) => row(j * PIXELS, PIXELS));
    const who = Array.from({ length: LABELS }, (_, k) => row(hidden * (PIXELS + k), hidden));
    return Network.of({ wih, who, learningRate, rule });
  }

  // A network from rows of weights.
  static of({ wih, who, learningRate, rule }) {
    return Object.assign(Object.create(Network.prototype), checked({ wih, who, learningRate, rule }));
  }

  // Returns the outputs, each 0..1.
  query(inputs) {
    return this.signals(inputs).outputs;
  }

  // Returns the signals of the hidden nodes, and the outputs.
  signals(inputs) {
    checkSignals("inputs", inputs, this.wih[0].length);
    const hidden = sums(this.wih, inputs).map(sigmoid);
    const outputs = sums(this.who, hidden).map(sigmoid);
    return { hidden, outputs };
  }

  // Learn from one example. The sigmoid never reaches 0 or 1, so targets are 0.01 for "no" and 0.99 for "yes".
  train(inputs, targets) {
    checkSignals("targets", targets, this.who.length);
    const { hidden, outputs } = this.signals(inputs);

    // x * (1 - x) is the slope of the sigmoid where its result is x: steep at 0.5, flat near 0 and 1.
    const outputErrors = outputs.map((output, k) => targets[k] - output);
    let outputSlopes = outputs.map((output, k) => outputErrors[k] * output * (1 - output));
    if (this.rule === "cross-entropy") outputSlopes = outputErrors;
    const errorSignal = this.rule === "gradient" ? outputSlopes : outputErrors;
    const hiddenErrors = sumsBack(this.who, errorSignal);
    const hiddenSlopes = hidden.map((signal, j) => hiddenErrors[j] * signal * (1 - signal));

    // A weight's change is the slope at the node it leads to, times the signal it carried.
    move(this.who, outputSlopes, hidden, this.learningRate);
    move(this.wih, hiddenSlopes, inputs, this.learningRate);
  }

  // Runs the network backwards: inputs that would roughly give these outputs. Every step of a query is undone, the last
  // one first. The results may have any size, so each layer's are rescaled to 0.01..0.99.
  backquery(targets) {
    checkSignals("targets", targets, this.who.length);
    if (!targets.every((target) => target > 0 && target < 1)) {
      throw new RangeError("targets must lie between 0 and 1, which no output reaches: use 0.01 and 0.99 instead");
    }
    const hidden = rescaled(sumsBack(this.who, targets.map(logit)));
    return rescaled(sumsBack(this.wih, hidden.map(logit)));
  }

  // All weights in one array, in the format of `from`.
  weights() {
    return Float64Array.from([...this.wih, ...this.who].flatMap((row) => [...row]));
  }
}

// Damage, as to a brain: returns a new network without the hidden nodes of these indices.
export function damage(network, nodes) {
  const stays = (_, j) => !nodes.includes(j);
  const wih = network.wih.filter(stays).map((row) => row.slice());
  if (!wih.length) throw new RangeError("at least one hidden node must be left");
  return Network.of({ ...network, wih, who: network.who.map((row) => row.filter(stays)) });
}

// Converts pixels 0 (background) to 255 (ink) to inputs 0.01..1.
export const scale = (pixels) => new Float64Array(pixels).map((pixel) => (pixel / 255) * 0.99 + 0.01);

// Desired outputs for a label: 0.99 for the label, 0.01 for all others.
export function targetsFor(label, outputs = 10) {
  return Float64Array.from({ length: outputs }, (_, k) => (k === label ? 0.99 : 0.01));
}

// The answer: the index of the strongest output.
export const strongest = (outputs) => outputs.indexOf(Math.max(...outputs));

// --- the arithmetic

const sigmoid = (sum) => 1 / (1 + Math.exp(-sum));
const logit = (signal) => Math.log(signal / (1 - signal));

// The weighted sum of all signals, at each node.
export const sums = (rows, signals) => Float64Array.from(rows, (row) => dot(row, signals));

// Dot product, in four independent sums: in a single one, each addition would wait for the one before it.
function dot(row, signals) {
  const length = signals.length;
  let [a, b, c, d, i] = [0, 0, 0, 0, 0];
  for (; i < length % 4; i++) a += row[i] * signals[i];
  for (; i < length; i += 4) {
    a += row[i] * signals[i];
    b += row[i + 1] * signals[i + 1];
    c += row[i + 2] * signals[i + 2];
    d += row[i + 3] * signals[i + 3];
  }
  return a + b + (c + d);
}

// row += step * signals, unrolled by four: a third faster.
function addTimes(row, step, signals) {
  const length = signals.length;
  let i = 0;
  for (; i < length % 4; i++) row[i] += step * signals[i];
  for (; i < length; i += 4) {
    row[i] += step * signals[i];
    row[i + 1] += step * signals[i + 1];
    row[i + 2] += step * signals[i + 2];
    row[i + 3] += step * signals[i + 3];
  }
}

// Weighted sums backwards: signals at the end of the links, summed at each node where the links begin.
function sumsBack(rows, signals) {
  const total = new Float64Array(rows[0].length);
  rows.forEach((row, k) => addTimes(total, signals[k], row));
  return total;
}

function move(rows, slopes, signals, learningRate) {
  rows.forEach((row, j) => addTimes(row, learningRate * slopes[j], signals));
}

// Signals shifted and scaled to fill 0.01..0.99; if all are equal, 0.5 for each.
function rescaled(signals) {
  const [least, most] = [Math.min(...signals), Math.max(...signals)];
  return signals.map((signal) => (most > least ? 0.01 + (0.98 * (signal - least)) / (most - least) : 0.5));
}

// Random weights around 0; standard deviation: one over the square root of the number of nodes they lead to.
function randomRows(nodes, before) {
  const wrong = [nodes, before].find((count) => !Number.isSafeInteger(count) || count < 1);
  if (wrong !== undefined) throw new RangeError(`the number of nodes must be 1 or more, not ${wrong}`);
  // Box-Muller transform, from a uniform to a normal distribution.
  const bell = () => Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
  return Array.from({ length: nodes }, () => Float64Array.from({ length: before }, () => bell() / Math.sqrt(nodes)));
}

function checked(network) {
  const { wih, who, learningRate, rule } = network;
  if (!wih.length || !who.every((row) => row.length === wih.length)) throw new RangeError("its arrays do not fit together");
  const finite = [...wih, ...who].every((row) => row.every(Number.isFinite));
  if (!finite) throw new RangeError("some of its weights are not numbers");
  const sensible = learningRate > 0 && learningRate <= HIGHEST_RATE;
  if (!sensible) throw new RangeError(`a learning rate is above 0 and at most ${HIGHEST_RATE}, not ${learningRate}`);
  if (!RULES.includes(rule)) throw new RangeError(`there is no rule ${rule}; choose one of ${RULES.join(", ")}`);
  return network;
}

function checkSignals(name, signals, nodes) {
  const fit = signals.length === nodes && Number.isFinite(dot(signals, signals)); // finite only if all are
  if (!fit) throw new RangeError(`${name} must be ${nodes} numbers`);
}
