// Page to take a network home: a sheet to print or to save as a picture, and an HTML file that reads what one draws.
// The network is what /try/ left in this tab's storage or, at the address take.html#pi, what the Pi has stored.

import { catalog } from "./catalog.js";
import { digitsOf, score } from "./digits.js";
import { Network, SIDE, targetsFor } from "./network.js";
import { packed, unpacked } from "./packed.js";
import { paint } from "./paper.js";
import { $, showTrouble, write } from "./shared.js";
import { _, inFigures, language, ngettext } from "./translation.js";

const SCRIPTS = ["translation.js", "live.js", "network.js", "frame.js", "paper.js", "packed.js", "home.js"];
const STYLES = ["page.css", "pad.css", "take.css"];
const [LEFT, WIDTH, DREAM, DIGIT] = [90, 1060, 190, 94]; // units of the sheet
const FONT = "system-ui, sans-serif";
const TITLE = _("My network reads digits");
const day = new Intl.DateTimeFormat(language === "en" ? "en-GB" : language, { dateStyle: "long" }).format();

async function text(name) {
  const answer = await fetch(name);
  if (!answer.ok) throw new Error(_("The Pi cannot do this now (status {status}).", answer));
  return answer.text();
}

// The network that the Pi has stored, with the last drawings.
async function fromPi() {
  const answer = await fetch("own", { cache: "no-store" });
  const { message, network, rate, rule, digits } = await answer.json();
  if (answer.status === 403) throw new Error(_("Please sign in again."));
  if (!answer.ok) throw new Error(message);
  const { buffer } = Uint8Array.from(atob(network), (letter) => letter.charCodeAt(0));
  const lines = digits.map((line) => line.split(","));
  return {
    network: packed(Network.from(new Float32Array(buffer), rate, rule)),
    digits: lines.map(([label, ...pixels]) => ({ label, pixels })),
    how: {},
  };
}

function fromTry() {
  const left = JSON.parse(sessionStorage.getItem("take"));
  if (!left) throw new Error(_("There is nothing to take yet: teach a network first."));
  return left;
}

// How the network was taught, and what it recognises, as sentences.
function inSentences(network, { together, turned, trained }, tested) {
  const places = { rate: inFigures(network.learningRate), rule: network.rule, digits: inFigures(trained ?? 0) };
  const part = { percent: inFigures(100 * score(network, tested), 1), count: inFigures(tested.length) };
  return [
    _("It recognises {percent} % of {count} test digits that it has never seen.", part),
    ngettext("It has {count} hidden node.", "It has {count} hidden nodes.", network.wih.length),
    _("Learning rate {rate}, rule “{rule}”.", places),
    together && _("The whole class taught it together."),
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
    pictures.forEach(({ label, ink }, place) => {
      const x = LEFT + (place * (WIDTH - side)) / Math.max(pictures.length - 1, WIDTH / (1.13 * side) - 1);
      paint(small, ink, (value) => Array(3).fill(255 - value));
      pen.drawImage(small, x, y + 24, side, side);
      pen.strokeRect(x, y + 24, side, side);
      pen.font = `26px ${FONT}`;
      pen.fillText(label, x, y + side + 54);
    });
    y += side + 66;
  }

  const name = $("name").value.trim();
  line(TITLE, 56, "bold");
  line([name, day].filter(Boolean).join(", "), 32);
  y += 24;
  sentences.forEach((sentence) => line(sentence, 30));
  y += 24;
  const dreams = _("Its dreams: what it wants to see for each digit");
  line(dreams, 36, "bold");
  const all = Array.from({ length: 10 }, (_, label) => ({ label, ink: network.backquery(targetsFor(label)).map((one) => 255 * one) }));
  row(all.slice(0, 5), DREAM);
  row(all.slice(5), DREAM);
  y += 24;
  if (digits.length) line(_("Digits that I have drawn"), 36, "bold");
  row(digits.map(({ label, pixels }) => ({ label, ink: pixels.map(Number) })), DIGIT);
  const drawn = digits.length && _("Digits that I have drawn: {digits}", { digits: digits.map(({ label }) => label).join(" ") });
  $("sheet").setAttribute("aria-label", [TITLE, name, day, ...sentences, dreams, drawn].filter(Boolean).join(". "));
}

// The HTML file, with a policy that lets it run its own script only, and send nothing.
async function fileOf(network, sentences) {
  const [scripts, styles] = await Promise.all([SCRIPTS, STYLES].map((names) => Promise.all(names.map(text))));
  const script = scripts.join("\n").replaceAll(/^import .*\n/gm, "");
  const used = Object.entries(catalog).filter(([words]) => !words || script.includes(JSON.stringify(words)));
  const nonce = [...crypto.getRandomValues(new Uint8Array(16))].join("");
  const policy = `default-src 'none'; script-src 'nonce-${nonce}'; style-src 'nonce-${nonce}'; base-uri 'none'; form-action 'none'`;
  const page = document.implementation.createHTMLDocument(TITLE);
  page.documentElement.lang = language;
  const put = (parent, kind, attributes, words = "") => {
    const element = page.createElement(kind);
    Object.entries(attributes).forEach(([key, value]) => element.setAttribute(key, value));
    element.textContent = words;
    parent.append(element);
    return element;
  };
  page.head.prepend(
    put(page.head, "meta", { charset: "utf-8" }),
    put(page.head, "meta", { "http-equiv": "Content-Security-Policy", content: policy }),
  );
  put(page.head, "meta", { name: "viewport", content: "width=device-width, initial-scale=1" });
  put(page.head, "style", { nonce }, styles.join("\n"));
  const main = put(page.body, "main", {});
  put(main, "h1", {}, TITLE);
  put(main, "p", {}, [$("name").value.trim(), day].filter(Boolean).join(", "));
  put(main, "p", {}, sentences.join(" "));
  put(page.body, "script", { type: "application/json", id: "network" }, JSON.stringify(network));
  const ours = `const catalog = ${JSON.stringify(Object.fromEntries(used))};\n`;
  put(page.body, "script", { type: "module", nonce }, ours + script);
  return `<!doctype html>\n${page.documentElement.outerHTML}`;
}

function save(name, blob) {
  const address = URL.createObjectURL(blob);
  Object.assign(document.createElement("a"), { href: address, download: name }).click();
  write($("saved"), _("{name} is among your downloads.", { name }));
}

async function begin() {
  const { network: small, how, digits } = location.hash === "#pi" ? await fromPi() : fromTry();
  const network = unpacked(small); // as in the file, so that the score is that of the file
  const sentences = inSentences(network, how, await digitsOf("test.bin"));
  const show = () => draw(network, digits, sentences);
  show();
  $("name").addEventListener("input", show);
  $("print").addEventListener("click", () => print());
  $("picture").addEventListener("click", () => $("sheet").toBlob((blob) => save("my_network.png", blob)));
  $("file").addEventListener("click", () =>
    fileOf(small, sentences)
      .then((page) => save("my_network.html", new Blob([page], { type: "text/html" })))
      .catch((error) => showTrouble(error.message)),
  );
  for (const id of ["ways", "sheet"]) $(id).hidden = false;
}

begin().catch((error) => showTrouble(error.message));
