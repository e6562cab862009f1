// Web worker that takes part in the class's network, or watches it. federated.py documents the Pi's answers.

import { digits, score } from "./digits.js";
import { Network, SIDE, scale, targetsFor } from "./network.js";
import { _ } from "./translation.js";

const [HIDDEN, OUTPUTS, RATE] = [50, 10, 0.1];
const DIGITS = 1000; // to train on in each round
const SHARES = 30; // parts of the training digits
const [ZERO, ONE, MOST] = [32768, 4096, 65535]; // encoding of the weights
const PAUSE = 2000; // milliseconds between two requests
const PATIENCE = 60_000; // milliseconds for the Pi's answer
const TRIES = 5; // to join again

let member = "";

self.onmessage = ({ data: { code, begin } }) => {
  (code ? takePart(code) : watch(begin)).catch((error) => self.postMessage({ trouble: error.message }));
};

const untrained = () => new Network(SIDE * SIDE, HIDDEN, OUTPUTS, RATE);
const pause = () => new Promise((done) => setTimeout(done, PAUSE));

async function ask(path, options = {}) {
  const headers = { "X-Member": member, ...options.headers };
  const signal = AbortSignal.timeout?.(PATIENCE);
  const answer = await fetch(`together${path}`, { ...options, headers, signal }).catch(() => {
    throw new Error(_("The Pi cannot be reached. Is it on, and is this device in its Wi-Fi?"));
  });
  if (answer.ok) return answer;
  const { message } = await answer.json().catch(() => ({}));
  throw new Error(message ?? _("the Pi answers with status {status}", answer));
}

const post = (path, body, headers = {}) => ask(path, { method: "POST", body, headers });

// Train, round by round, and join again after an interruption.
async function takePart(code) {
  const [training, testing] = await digits();
  const alone = untrained();
  for (let tries = 0; ; tries++) {
    try {
      const joined = await (await post("/join", code)).json();
      member = joined.member;
      return await learn(shareOf(training, joined), testing, alone);
    } catch (error) {
      if (!member || tries === TRIES) throw error; // report a wrong code at once
      await pause();
    }
  }
}

// Return a member's share of the digits: every thirtieth, or two sixtieths of the digits sorted by label.
function shareOf(training, { number, two }) {
  if (!two) return training.filter((_, place) => place % SHARES === number % SHARES);
  const sorted = [...training].sort((one, other) => one.label - other.label);
  const size = Math.floor(sorted.length / SHARES / 2);
  const first = size * ((7 * number) % SHARES); // so that the first five members have all labels
  const own = new Set([first, first + size * SHARES].flatMap((start) => sorted.slice(start, start + size)));
  return training.filter((digit) => own.has(digit));
}

async function learn(share, testing, alone) {
  let about = await (await ask("")).json();
  for (; !about.started; about = await (await ask("")).json()) {
    self.postMessage({ about });
    await pause();
  }
  let network;
  [about, network] = await received(await ask("/weights"));
  while (about.rounds < about.of) {
    for (let count = 0; count < DIGITS; count++) {
      const { label, pixels } = share[(about.rounds * DIGITS + count) % share.length];
      const [inputs, targets] = [scale(pixels), targetsFor(label)];
      network.train(inputs, targets);
      alone.train(inputs, targets);
    }
    const own = score(alone, testing);
    const query = `round=${about.rounds}&alone=${Math.round(1000 * own)}`;
    [about, network] = await received(await post(`/weights?${query}`, numbersOf(network)));
    self.postMessage({ about, network, own, together: score(network, testing) });
  }
}

// Watch the class's network. With `begin`, start a session first.
async function watch(begin) {
  const [, testing] = await digits();
  if (begin) await post(`?two=${begin.two ? 1 : 0}`, numbersOf(untrained()), { "X-XSRFToken": begin.token });
  for (let seen = 0, shown = {}, about = {}; about.rounds !== about.of || !about.of; await pause()) {
    about = await (await ask("")).json();
    if (about.rounds !== seen) {
      const [then, network] = await received(await ask("/weights"));
      seen = then.rounds;
      shown = { network, together: score(network, testing) };
    }
    self.postMessage({ about, ...shown });
  }
}

// Encode the weights: 16 bits each, those from the inputs first. All devices with a browser are little endian.
const numbersOf = (network) =>
  Uint16Array.from(network.weights(), (weight) => Math.min(Math.max(Math.round(ZERO + ONE * weight), 0), MOST));

async function received(answer) {
  const weights = Float64Array.from(new Uint16Array(await answer.arrayBuffer()), (number) => (number - ZERO) / ONE);
  return [JSON.parse(answer.headers.get("Class-Network")), Network.from(weights, RATE)];
}
