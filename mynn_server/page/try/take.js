// Page to take a network home: a sheet to print or to save as a picture, and an HTML file that reads what one draws.
// The network is what /try/ left in this tab's storage or, at the address take.html?pi, what the Pi has stored.

import { catalog } from "./catalog.js";
import { digitsOf, score } from "./digits.js";
import { SIDE, targetsFor } from "./network.js";
import { asStored, fromStored } from "./packed.js";
import { paint } from "./paper.js";
import { $, RULE_NAMES, showTrouble, write } from "./shared.js";
import { stored } from "./stored.js";
import { _, inFigures, language, ngettext } from "./translation.js";

const SHARED = ["translation.js", "live.js", "network.js", "frame.js", "doubt_weights.js", "doubt.js", "paper.js"];
const SCRIPTS = [...SHARED, "shared.js", "packed.js", "home.js"];
const STYLES = ["page.css", "pad.css", "take.css"];
const [LEFT, WIDTH, DREAM, DIGIT] = [90, 1060, 190, 94]; // units of the sheet
const FONT = "system-ui, sans-serif";
const DAY = new Intl.DateTimeFormat(language === "en" ? "en-GB" : language, { dateStyle: "long" }).format();
const TITLE = _("My network reads digits");
const DREAMS = _("Its dreams: what it wants to see for each digit");
const DRAWN = _("Digits that I have drawn");

const about = () => [$("name").value.trim(), DAY].filter(Boolean).join(", ");

async function text(name) {
  const answer = await fetch(name);
  if (!answer.ok) throw new Error(_("The Pi cannot do this now (status {status}).", answer));
  return answer.text();
}

// The network that the Pi has stored, with the last drawings: pairs of pixels and label.
async function fromPi() {
  const answer = await fetch("network", { cache: "no-store" });
  if (answer.status === 403) throw new Error(_("Please sign in again."));
  const { message, digits, ...network } = await answer.json();
  if (!answer.ok) throw new Error(message);
  return { ...network, digits: digits.map((line) => [line.slice(2), line[0]]) };
}

function fromTry() {
  const network = stored("taught");
  if (!network) throw new Error(_("There is nothing to take yet: teach a network first."));
  return { ...network, digits: [...stored("done"), ...stored("drawings")].slice(-10) };
}

// How the network was taught, and what it recognises, as sentences.
function inSentences(network, { turned, trained }, tested) {
  const part = { percent: inFigures(100 * score(network, tested), 1), count: inFigures(tested.length) };
  const places = { rate: inFigures(network.learningRate), rule: RULE_NAMES[network.rule], digits: inFigures(trained ?? 0) };
  return [
    _("It recognises {percent} % of {count} test digits that it has never seen.", part),
    ngettext("It has {count} hidden node.", "It has {count} hidden nodes.", network.wih.length),
    _("Learning rate {rate}, rule “{rule}”.", places),
    trained && ngettext("It has learnt from {digits} digit.", "It has learnt from {digits} digits.", trained, places),
    turned && _("Each digit was also turned left and right."),
  ].filter(Boolean);
}

// Draws the sheet. Its sentences are also what a screen reader reads.
function draw(network, digits, sentences) {
  const pen = $("sheet").getContext("2d");
  const small = Object.assign(document.createElement("canvas"), { width: SIDE, height: SIDE });
  let y = 0;
  pen.fillStyle = "white";
  pen.fillRect(0, 0, pen.canvas.width, pen.canvas.height);
  pen.fillStyle = "black";
  pen.imageSmoothingEnabled = false;

  function line(words, size, weight = "") {
    y += 1.6 * size;
    pen.font = `${weight} ${size}px ${FONT}`;
    pen.fillText(words, LEFT, y, WIDTH);
  }

  function row(pictures, side) {
    pictures.forEach(([ink, label], place) => {
      const x = LEFT + (place * (WIDTH - side)) / Math.max(pictures.length - 1, WIDTH / (1.13 * side) - 1);
      paint(small, ink, (value) => Array(3).fill(255 - value));
      pen.drawImage(small, x, y + 24, side, side);
      pen.strokeRect(x, y + 24, side, side);
      pen.font = `26px ${FONT}`;
      pen.fillText(label, x, y + side + 54);
    });
    y += side + 90;
  }

  line(TITLE, 56, "bold");
  line(about(), 32);
  y += 24;
  sentences.forEach((sentence) => line(sentence, 30));
  y += 24;
  line(DREAMS, 36, "bold");
  const dreams = Array.from({ length: 10 }, (_, label) => [network.backquery(targetsFor(label)).map((one) => 255 * one), label]);
  row(dreams.slice(0, 5), DREAM);
  row(dreams.slice(5), DREAM);
  if (digits.length) line(DRAWN, 36, "bold");
  row(digits.map(([pixels, label]) => [pixels.split(",").map(Number), label]), DIGIT);
  const drawn = digits.length ? `${DRAWN}: ${digits.map(([, label]) => label).join(" ")}` : "";
  $("sheet").setAttribute("aria-label", `${TITLE}. ${about()}. ${sentences.join(" ")} ${DREAMS}. ${drawn}`);
}

// The HTML file: home.html with all that it needs.
async function fileOf(network, sentences) {
  const page = new DOMParser().parseFromString(await text("home.html"), "text/html");
  const [scripts, styles] = await Promise.all([SCRIPTS, STYLES].map((names) => Promise.all(names.map(text))));
  const script = scripts.join("\n").replaceAll(/^import .*\n/gm, "");
  const used = Object.entries(catalog).filter(([words]) => !words || script.includes(JSON.stringify(words)));
  const fill = (part, words) => (page.querySelector(part).textContent = words);
  fill("#about", about());
  fill("#how", sentences.join(" "));
  fill("#network", JSON.stringify(asStored(network)));
  fill("[type=module]", `const catalog = ${JSON.stringify(Object.fromEntries(used))};\n${script}`);
  const style = `<style nonce="home">${styles.join("\n")}</style></head>`; // as an element, this page's policy would block it
  return `<!doctype html>\n${page.documentElement.outerHTML.replace("</head>", () => style)}`;
}

function save(name, blob) {
  const address = URL.createObjectURL(blob);
  Object.assign(document.createElement("a"), { href: address, download: name }).click();
  write($("saved"), _("{name} is among your downloads.", { name }));
}

async function begin() {
  const given = location.search === "?pi" ? await fromPi() : fromTry();
  const network = fromStored(given);
  const sentences = inSentences(network, given, await digitsOf("test.bin"));
  const show = () => draw(network, given.digits, sentences);
  show();
  $("name").addEventListener("input", show);
  $("print").addEventListener("click", () => print());
  $("picture").addEventListener("click", () => $("sheet").toBlob((blob) => save("my_network.png", blob)));
  $("file").addEventListener("click", () =>
    fileOf(network, sentences)
      .then((page) => save("my_network.html", new Blob([page], { type: "text/html" })))
      .catch((error) => showTrouble(error.message)),
  );
  for (const id of ["ways", "sheet"]) $(id).hidden = false;
}

begin().catch((error) => showTrouble(error.message));
