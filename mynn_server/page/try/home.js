// Script of the file that take.js makes: a pad, and the pupil's network that reads what is drawn. It sends nothing.

import { add } from "./live.js";
import { scale } from "./network.js";
import { unpacked } from "./packed.js";
import { addBars, calmly, eye, inWords, paper, seen } from "./paper.js";

const network = unpacked(JSON.parse(document.getElementById("network").textContent));
const grid = add(add(document.querySelector("main"), "div", { className: "mynn-pad" }), "div", { className: "mynn-pad-grid" });
const says = add(grid, "div", { className: "mynn-pad-says", role: "status" });
const left = add(grid, "div", { className: "mynn-pad-left" });
const bars = add(grid, "div", { className: "mynn-pad-bars" });
const showSeen = eye(add(grid, "div", { className: "mynn-pad-sight" }));
const showOutputs = addBars(Array.from({ length: 10 }, () => add(bars, "div")));

function show(strokes) {
  const pixels = seen(strokes);
  const outputs = pixels && network.query(scale(pixels));
  says.textContent = inWords(outputs, strokes);
  showSeen(pixels ?? new Uint8Array(784));
  showOutputs(outputs);
}

const later = calmly(show);
const pad = paper(left, [], later, later);
pad.addTools(add(left, "div", { className: "mynn-pad-tools" }));
pad.sheet.addEventListener("keydown", (event) => pad.key(event) && event.preventDefault());
show([]);
