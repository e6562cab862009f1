// A network as an .npz file, as numpy and checkpoint.py have it: a zip of .npy files, each an array's kind and shape in
// words, then its numbers.

import { _ } from "./words.js";

const FORMAT = "mynn network"; // as in checkpoint.py
const VERSION = 2;
const FILES = 6;
const LARGEST = 20e6; // bytes of an array, far more than any network here
const MAGIC = "\x93NUMPY\x01\x00";
const HEADER = /^\{'descr': '(<[fiU]\d\d?)', 'fortran_order': (True|False), 'shape': (\((?:\d+, \d+)?\)), \} *\n$/;
const [LOCAL, CENTRAL, END] = [0x04034b50, 0x02014b50, 0x06054b50]; // what a zip's parts begin with

// A network's weights, learning rate and rule as a file, in bytes.
export function pack({ wih, who, learningRate, rule }) {
  return zipped({
    wih: npyOfRows(wih),
    who: npyOfRows(who),
    learning_rate: npy("<f8", "()", Float64Array.of(learningRate)),
    rule: npyOfText(rule),
    format: npyOfText(FORMAT),
    version: npy("<i8", "()", BigInt64Array.of(BigInt(VERSION))),
  });
}

// What `pack` was given, out of its file or one that Python wrote; anything else is an Error, with a reason.
export async function unpack(bytes) {
  const files = await unzipped(bytes).catch(() => {
    // Translators: comes after "no network can be read from this file: "
    throw new Error(_("it is damaged, or not an .npz file"));
  });
  if (textOf(files.format) !== FORMAT) throw new Error("it was not written by mynn");
  const version = numberOf(files.version, "<i8");
  if (version !== VERSION) throw new Error(`it has version ${version}, but this page reads version ${VERSION}`);
  const [wih, who] = [rowsOf(files.wih), rowsOf(files.who)];
  return { wih, who, learningRate: numberOf(files.learning_rate, "<f8"), rule: textOf(files.rule) };
}

// --- an .npy

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

// --- the zip

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
