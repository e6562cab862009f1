// Translation in the browser, as words.py: texts are in English in the code. The catalog maps each to its translation,
// a text with a plural to two, and "" to the language's code.

import { catalog } from "./catalog.js";

export const language = catalog[""];
const isEnglish = language === "en";
const filled = (text, places) => text.replace(/\{(\w+)\}/g, (place, name) => places[name] ?? place);

/** Translates a text and fills in its {places}. */
export const _ = (text, places = {}) => filled(catalog[text] ?? text, places);

/** The singular or plural text for a number, which fills in {count}. */
export function ngettext(one, many, count, places = {}) {
  const [single, several] = catalog[one] ?? [one, many];
  const rule = new Intl.PluralRules(language).select(count);
  return filled(rule === "one" ? single : several, { count, ...places });
}

const formats = new Map(); // number of decimal places → formatter, slow to make

/** A number in the language's notation, as in_figures in words.py: with so many decimal places, or at most six. */
export function inFigures(number, places) {
  const exactly = { minimumFractionDigits: places ?? 0, maximumFractionDigits: places ?? 6 };
  if (!formats.has(places)) formats.set(places, new Intl.NumberFormat("en-GB", exactly));
  const figures = formats.get(places).format(number);
  if (isEnglish) return figures;
  return figures.replace(/^(-?\d),(\d{3})(?![\d,])/, "$1$2").replaceAll(",", "\u202f").replace(".", ","); // 1234,5
}

const marksSwapped = (figures) => figures.replace(/[.,]/g, (mark) => (mark === "." ? "," : "."));

// A script's ten digits stand side by side in Unicode, from the 0 on.
const isDigit = (code) => /\p{Nd}/u.test(String.fromCodePoint(code));
const digitOf = (one) => [..."0123456789"].find((digit) => !isDigit(one.codePointAt(0) - digit - 1));

/** What a typed number can mean, first as the language writes it: "1.500 %" is 1500 in German, and 1.5 or 1500 in English. */
export function numbersIn(text, code = language) {
  const figures = text
    .replace(/\p{Nd}/gu, digitOf)
    .replace(/(\d)[\s'’٬](?=\d{3}(?!\d))/g, "$1") // 1 500
    .replace(/[\s%٪\p{L}]+$/u, "")
    .replace(/^\s*[−–]/, "-")
    .trim();
  const ways = code === "en" ? [figures, marksSwapped(figures)] : [marksSwapped(figures), figures]; // as in English
  const possible = ways.filter((way) => /^[+-]?(\d+|[1-9]\d{0,2}(,\d{3})+)(\.\d*)?$/.test(way));
  const isSure = figures.includes(new Intl.NumberFormat(code).format(12345)[2]); // the language's mark of thousands
  return [...new Set(possible.map((way) => Number(way.replaceAll(",", ""))))].slice(0, isSure ? 1 : 2);
}

/** Corrects the English article in a sentence about a digit: "an 8". */
export const withArticle = (sentence) => (isEnglish ? sentence.replaceAll(/\b([Aa]) 8\b/g, "$1n 8") : sentence);
