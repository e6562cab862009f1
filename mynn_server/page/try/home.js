// Script of home.html, the file that take.js fills: a pad, and the pupil's network that reads what is drawn there.

import { add } from "./live.js";
import { scale } from "./network.js";
import { fromStored } from "./packed.js";
import { addBars, eye, inWords, seen } from "./paper.js";
import { $, addPad, write } from "./shared.js";

const network = fromStored(JSON.parse($("network").textContent));
const [says, bars, sight] = document.querySelectorAll(".mynn-pad-says, .mynn-pad-bars, .mynn-pad-sight");
const showSeen = eye(sight);
const showOutputs = addBars(Array.from({ length: 10 }, () => add(bars, "div")));

function show(strokes) {
  const pixels = seen(strokes);
  const outputs = pixels && network.query(scale(pixels));
  write(says, inWords(outputs, pixels, strokes));
  showSeen(pixels ?? new Uint8Array(784));
  showOutputs(outputs);
}

addPad(show);
show([]);
