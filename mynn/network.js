// A neural network of three layers, one example at a time: what network.py, damage.py, images.py and checkpoint.py do
// in Python, for a browser.
//
//     inputs  --wih-->  hidden nodes  --who-->  outputs
//
// Each node adds up what reaches it, every signal times the weight of its link, and squashes the sum into 0..1 with the
// sigmoid. Training compares the outputs with the targets and moves every weight a little, so that the same inputs
// would do a little better next time.

export const RULES = ["book", "gradient", "cross-entropy"]; // network.py says what each of them is
export const SIDE = 28; // a digit is 28 x 28 pixels
const HIGHEST_RATE = 10; // as in checks.py

export class Network {
  // wih           the weights from inputs to hidden nodes: a row for each hidden node, wih[j][i] from input i to node j
  // who           the weights from hidden nodes to outputs: a row for each output, who[k][j] from node j to output k
  // learningRate  how far one example moves the weights
  // rule          what the hidden nodes learn from the output errors
  constructor(inputNodes, hiddenNodes, outputNodes, learningRate, rule = "book") {
    const wih = randomRows(hiddenNodes, inputNodes);
    const who = randomRows(outputNodes, hiddenNodes);
    Object.assign(this, checked({ wih, who, learningRate, rule }));
  }

  // A network with these weights.
  static of({ wih, who, learningRate, rule }) {
    return Object.assign(Object.create(Network.prototype), checked({ wih, who, learningRate, rule }));
  }

  // Ask the network: inputs give outputs, each 0..1.
  query(inputs) {
    return this.signals(inputs).outputs;
  }

  // What a query sends through the network: the signals of the hidden nodes, and the outputs.
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

    // A weight moves with the slope of the node it leads to, times the signal that it carried.
    move(this.who, outputSlopes, hidden, this.learningRate);
    move(this.wih, hiddenSlopes, inputs, this.learningRate);
  }

  // Ask backwards: inputs that the network takes for such outputs. Every step of a query is undone, the last one first;
  // what arrives may have any size, so each layer's signals are rescaled to where signals live.
  backquery(targets) {
    checkSignals("targets", targets, this.who.length);
    if (!targets.every((target) => target > 0 && target < 1)) {
      throw new RangeError("targets must lie between 0 and 1, which no output reaches: use 0.01 and 0.99 instead");
    }
    const hidden = rescaled(sumsBack(this.who, targets.map(logit)));
    return rescaled(sumsBack(this.wih, hidden.map(logit)));
  }

  // The network as an .npz file, in bytes, which NeuralNetwork.load reads in Python.
  save() {
    const { wih, who, learningRate, rule } = checked(this);
    return zipped({
      wih: npyOfRows(wih),
      who: npyOfRows(who),
      learning_rate: npy("<f8", "()", Float64Array.of(learningRate)),
      rule: npyOfText(rule),
      format: npyOfText(FORMAT),
      version: npy("<i8", "()", BigInt64Array.of(BigInt(VERSION))),
    });
  }

  // The network in an .npz file that `save` wrote, or NeuralNetwork.save in Python; anything else is an Error.
  static async load(bytes) {
    let files;
    try {
      files = await unzipped(bytes);
    } catch {
      throw new Error("no network can be read from this file: it is damaged, or not an .npz file");
    }
    try {
      if (textOf(files.format) !== FORMAT) throw new Error("it was not written by mynn");
      const version = numberOf(files.version, "<i8");
      if (version !== VERSION) throw new Error(`it has version ${version}, but this page reads version ${VERSION}`);
      const [wih, who] = [rowsOf(files.wih), rowsOf(files.who)];
      return Network.of({ wih, who, learningRate: numberOf(files.learning_rate, "<f8"), rule: textOf(files.rule) });
    } catch (error) {
      throw new Error(`no network can be read from this file: ${error.message}`);
    }
  }
}

// Damage, as with brains: a new network without these hidden nodes, given as a list of their numbers.
export function damage(network, nodes) {
  const stays = (_, j) => !nodes.includes(j);
  const wih = network.wih.filter(stays).map((row) => row.slice());
  if (!wih.length) throw new RangeError("at least one hidden node must be left");
  return Network.of({ ...network, wih, who: network.who.map((row) => row.filter(stays)) });
}

// Pixels 0 (background) to 255 (ink) as inputs: 0.01..1.
export const scale = (pixels) => new Float64Array(pixels).map((pixel) => (pixel / 255) * 0.99 + 0.01);

// What the outputs should be for a label: 0.99 for its own, 0.01 for all others.
export function targetsFor(label, outputs = 10) {
  return Float64Array.from({ length: outputs }, (_, k) => (k === label ? 0.99 : 0.01));
}

// The answer: the number of the strongest output.
export const strongest = (outputs) => outputs.indexOf(Math.max(...outputs));

// --- the arithmetic

const sigmoid = (sum) => 1 / (1 + Math.exp(-sum));
const logit = (signal) => Math.log(signal / (1 - signal));

// What reaches each node: the sum of all signals, each times its weight.
const sums = (rows, signals) => Float64Array.from(rows, (row) => dot(row, signals));

// The sum of all signals, each times its weight; four sums at once, since one addition waits for the one before it.
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

// Add the signals, each times the step, to a row; by fours, which is a third quicker.
function add(row, step, signals) {
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

// The same backwards: what reaches each node before the links, if signals come from behind them.
function sumsBack(rows, signals) {
  const total = new Float64Array(rows[0].length);
  rows.forEach((row, k) => add(total, signals[k], row));
  return total;
}

function move(rows, slopes, signals, learningRate) {
  rows.forEach((row, j) => add(row, learningRate * slopes[j], signals));
}

// Signals shifted and scaled so that they just fill 0.01..0.99; all alike, they become 0.5.
function rescaled(signals) {
  const [least, most] = [Math.min(...signals), Math.max(...signals)];
  return signals.map((signal) => (most > least ? 0.01 + (0.98 * (signal - least)) / (most - least) : 0.5));
}

// Weights at random around 0, with a standard deviation of one over the root of the number of nodes that they lead to.
function randomRows(nodes, before) {
  const wrong = [nodes, before].find((count) => !Number.isSafeInteger(count) || count < 1);
  if (wrong !== undefined) throw new RangeError(`the number of nodes must be 1 or more, not ${wrong}`);
  // Box and Muller's way from even chances to the bell curve.
  const bell = () => Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
  return Array.from({ length: nodes }, () => Float64Array.from({ length: before }, () => bell() / Math.sqrt(nodes)));
}

function checked(network) {
  const { wih, who, learningRate, rule } = network;
  if (!who.every((row) => row.length === wih.length)) throw new RangeError("its arrays do not fit together");
  const finite = [...wih, ...who].every((row) => row.every(Number.isFinite));
  if (!finite) throw new RangeError("some of its weights are not numbers");
  const sensible = learningRate > 0 && learningRate <= HIGHEST_RATE;
  if (!sensible) throw new RangeError(`a learning rate is above 0 and at most ${HIGHEST_RATE}, not ${learningRate}`);
  if (!RULES.includes(rule)) throw new RangeError(`there is no rule ${rule}; choose one of ${RULES.join(", ")}`);
  return network;
}

function checkSignals(name, signals, nodes) {
  const fit = signals.length === nodes && Number.isFinite(dot(signals, signals)); // all of them, or the sum were not
  if (!fit) throw new RangeError(`${name} must be ${nodes} numbers`);
}

// --- framing: a drawing as MNIST has its digits, of one size and in one place

// As in images.py; but a drawing's paper is even, and its pen thick enough, so two of the steps there are not needed.
const DIGIT_SIDE = 20;
const BARS_SIDE = 18;
const BAR = 0.4;
const CONTRAST = 20;
const FAINTEST = 0.25;
const SMALLEST = 20;
const PIECES = 12;
const MOST_INK = 0.75; // of the paper

// Pixels 0 (background) to 255 (ink), 28 x 28, of a drawing: its brightness, side x side, dark on white. A drawing in
// which nothing can be seen is an Error.
export function frame(brightness, side) {
  const strongestInk = 255 - Math.min(...brightness);
  const least = (FAINTEST / 2) * strongestInk;
  const ink = new Float64Array(brightness.length).map((_, place) => 255 - brightness[place]);
  ink.forEach((value, place) => value > least || (ink[place] = 0));
  const pieces = piecesOf(ink, side);
  const largest = Math.max(0, ...pieces.map((piece) => piece.length));
  const large = pieces.filter((piece) => piece.length >= 0.05 * largest); // the others are specks
  const covered = pieces.flat().length > MOST_INK * ink.length;
  if (2 * least < FAINTEST * CONTRAST || largest < SMALLEST || large.length > PIECES || covered) {
    throw new Error("no digit can be seen in this picture; draw one, with paper all around it");
  }
  return placed(cropped(ink, large.flat(), side));
}

// The pieces that the ink consists of, each a list of the places in it.
function piecesOf(ink, side) {
  const seen = new Uint8Array(ink.length);
  const pieces = [];
  for (let start = 0; start < ink.length; start++) {
    if (!ink[start] || seen[start]) continue;
    const piece = [start];
    seen[start] = 1;
    for (const place of piece) {
      const [row, column] = [Math.floor(place / side), place % side];
      for (let y = Math.max(0, row - 1); y <= Math.min(side - 1, row + 1); y++) {
        for (let x = Math.max(0, column - 1); x <= Math.min(side - 1, column + 1); x++) {
          const next = y * side + x;
          if (ink[next] && !seen[next]) piece.push(next);
          seen[next] = 1;
        }
      }
    }
    pieces.push(piece);
  }
  return pieces;
}

// The ink at these places, as the rows of the smallest rectangle that has all of it.
function cropped(ink, places, side) {
  const [ys, xs] = [places.map((place) => Math.floor(place / side)), places.map((place) => place % side)];
  const [top, left] = [Math.min(...ys), Math.min(...xs)];
  const [bottom, right] = [Math.max(...ys), Math.max(...xs)];
  const rows = Array.from({ length: bottom - top + 1 }, () => new Float64Array(right - left + 1));
  places.forEach((place, index) => (rows[ys[index] - top][xs[index] - left] = ink[place]));
  return rows;
}

// Ink that fills its rectangle, brought to MNIST's size and place.
function placed(ink) {
  const columns = transposed(ink);
  const size = Math.max(ink.length, columns.length);
  const factor = Math.min(DIGIT_SIDE / size, BARS_SIDE / Math.max(betweenBars(ink), betweenBars(columns)));
  const [down, across] = [shares(ink, factor), shares(columns, factor)];
  const narrow = ink.map((row) => sums(across, row)); // as high as before, and 28 wide
  const small = transposed(narrow).map((column) => sums(down, column)); // a list of columns
  const pixels = transposed(small).flatMap((row) => [...row]);
  const most = Math.max(...pixels);
  return Uint8Array.from(pixels, (value) => Math.round((value * 255) / most));
}

const transposed = (rows) => Array.from(rows[0], (_, x) => Float64Array.from(rows, (row) => row[x]));
const totals = (lines) => lines.map((line) => line.reduce((a, b) => a + b));

// From the first line that is a bar to the last one: how many there are.
function betweenBars(lines) {
  const filled = totals(lines);
  const least = BAR * Math.max(...filled);
  const isBar = (total) => total >= least;
  return filled.findLastIndex(isBar) - filled.findIndex(isBar) + 1;
}

// How much of each of these lines goes into each of 28 pixels, so that the centre of mass comes to the middle: the
// nearer to a pixel's own middle, the more.
function shares(lines, factor) {
  const filled = totals(lines);
  const centre = filled.reduce((sum, total, line) => sum + total * (line + 0.5), 0) / totals([filled])[0];
  const first = Math.min(Math.max(SIDE / 2 + 0.5 - centre * factor, 0), SIDE - lines.length * factor); // inside
  const narrowing = Math.min(factor, 1);
  return Array.from({ length: SIDE }, (_, pixel) => {
    const middle = (pixel + 0.5 - first) / factor;
    const share = (line) => Math.max(0, 1 - Math.abs(line + 0.5 - middle) * narrowing);
    let all = 0; // of lines outside, too, in which there is no ink
    for (let line = Math.floor(middle - 1 / narrowing); line <= middle + 1 / narrowing; line++) all += share(line);
    return Float64Array.from(lines, (_, line) => share(line) / all);
  });
}

// --- files: an .npz is a zip of .npy files, each an array's kind and shape in words, then its numbers

const FORMAT = "mynn network"; // as in checkpoint.py
const VERSION = 2;
const FILES = 6;
const LARGEST = 20e6; // bytes of an array, far more than any network here
const MAGIC = "\x93NUMPY\x01\x00";
const HEADER = /^\{'descr': '(<[fiU]\d\d?)', 'fortran_order': (True|False), 'shape': (\((?:\d+, \d+)?\)), \} *\n$/;
const [LOCAL, CENTRAL, END] = [0x04034b50, 0x02014b50, 0x06054b50]; // what a zip's parts begin with

function npy(kind, shape, numbers) {
  const words = `{'descr': '${kind}', 'fortran_order': False, 'shape': ${shape}, }`;
  const header = words.padEnd(64 * Math.ceil((words.length + 11) / 64) - 11) + "\n"; // to a multiple of 64
  const bytes = new Uint8Array(10 + header.length + numbers.byteLength);
  bytes.set([...codes(MAGIC), header.length, 0, ...codes(header)]);
  bytes.set(new Uint8Array(numbers.buffer), 10 + header.length);
  return bytes;
}

const codes = (words) => Uint8Array.from(words, (letter) => letter.charCodeAt(0));
const text = (bytes) => String.fromCharCode(...bytes);
const npyOfText = (words) => npy(`<U${words.length}`, "()", Uint32Array.from(codes(words)));

function npyOfRows(rows) {
  return npy("<f8", `(${rows.length}, ${rows[0].length})`, Float64Array.from(rows.flatMap((row) => [...row])));
}

// What an .npy says of itself, and its numbers in bytes that nothing else is in.
function partsOf(bytes) {
  if (!bytes) throw new Error("an array is missing");
  const start = 10 + bytes[8]; // a longer header than 255 bytes is none of ours
  const [header, kind, fortran, shape] = HEADER.exec(text(bytes.subarray(10, start))) ?? [];
  if (!header || text(bytes.subarray(0, 8)) !== MAGIC || bytes[9]) throw new Error("an array is of another kind");
  const sizes = shape.match(/\d+/g)?.map(Number);
  return { kind, fortran: fortran === "True", shape: sizes, numbers: bytes.slice(start).buffer };
}

function numberOf(bytes, kind) {
  const parts = partsOf(bytes);
  const fits = parts.kind === kind && !parts.shape && parts.numbers.byteLength === 8;
  if (!fits) throw new Error("a number is of another kind");
  return Number((kind === "<i8" ? new BigInt64Array(parts.numbers) : new Float64Array(parts.numbers))[0]);
}

function textOf(bytes) {
  const { kind, shape, numbers } = partsOf(bytes);
  if (!/^<U\d{1,2}$/.test(kind) || shape) throw new Error("a word is of another kind");
  return String.fromCodePoint(...new Uint32Array(numbers));
}

function rowsOf(bytes) {
  const { kind, fortran, shape, numbers } = partsOf(bytes);
  if (!["<f8", "<f4"].includes(kind) || !shape) throw new Error("its weights must be float64 or float32");
  const values = kind === "<f8" ? new Float64Array(numbers) : new Float32Array(numbers);
  const [nodes, before] = shape;
  if (!nodes || !before || values.length !== nodes * before) throw new Error("its arrays do not fit together");
  const at = (j, i) => values[fortran ? i * nodes + j : j * before + i];
  return Array.from({ length: nodes }, (_, j) => Float64Array.from({ length: before }, (_, i) => at(j, i)));
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  for (let bit = 0; bit < 8; bit++) byte = byte & 1 ? 0xedb88320 ^ (byte >>> 1) : byte >>> 1;
  return byte;
});
const crc32 = (bytes) => ~bytes.reduce((crc, byte) => CRC_TABLE[(crc ^ byte) & 255] ^ (crc >>> 8), -1) >>> 0;

// Numbers as a zip has them, each in so many bytes.
function little(sizes, ...numbers) {
  const bytes = (number, size) => Array.from({ length: size }, (_, byte) => (number >>> (8 * byte)) & 255);
  return numbers.flatMap((number, index) => bytes(number, Number(sizes[index])));
}

// A zip of these files, as they are: weights hardly become smaller.
function zipped(files) {
  const [parts, directory] = [[], []];
  let place = 0;
  for (const [name, bytes] of Object.entries(files)) {
    const file = codes(`${name}.npy`);
    const entry = little("2222244422", 20, 0, 0, 0, 33, crc32(bytes), bytes.length, bytes.length, file.length, 0);
    directory.push(...little("42", CENTRAL, 20), ...entry, ...little("22244", 0, 0, 0, 0, place), ...file);
    parts.push(Uint8Array.of(...little("4", LOCAL), ...entry, ...file), bytes);
    place = parts.reduce((sum, part) => sum + part.length, 0);
  }
  const count = Object.keys(files).length;
  parts.push(Uint8Array.of(...directory, ...little("42222442", END, 0, 0, count, count, directory.length, place, 0)));
  const zip = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  parts.reduce((at, part) => (zip.set(part, at), at + part.length), 0);
  return zip;
}

// The files in a zip, by their names without ".npy"; an Error, whatever is wrong with it.
async function unzipped(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const [two, four] = [(at) => view.getUint16(at, true), (at) => view.getUint32(at, true)];
  const end = bytes.length - 22;
  const count = two(end + 10);
  if (four(end) !== END || count > FILES) throw new Error("no zip");
  const files = Object.create(null); // a name in it is nothing but a name
  let at = four(end + 16);
  for (let number = 0; number < count; number++) {
    const [method, crc, length, size] = [two(at + 10), four(at + 16), four(at + 20), four(at + 24)];
    const [name, local] = [two(at + 28), four(at + 42)];
    const start = local + 30 + two(local + 26) + two(local + 28);
    const fits = four(at) === CENTRAL && four(local) === LOCAL && size <= LARGEST && start + length <= bytes.length;
    if (!fits) throw new Error("no zip");
    const packed = bytes.subarray(start, start + length);
    const file = method === 0 ? packed : await inflated(packed, method, size);
    if (file.length !== size || crc32(file) !== crc) throw new Error("damaged");
    files[text(bytes.subarray(at + 46, at + 46 + name)).replace(/\.npy$/, "")] = file;
    at += 46 + name + two(at + 30) + two(at + 32);
  }
  return files;
}

async function inflated(packed, method, size) {
  if (method !== 8) throw new Error("a way of packing that is not numpy's");
  const reader = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate-raw")).getReader();
  const file = new Uint8Array(size);
  let length = 0;
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    file.set(part.value, length); // an Error where there is more than the zip says
    length += part.value.length;
  }
  return file.subarray(0, length);
}
