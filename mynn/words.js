// What people read, in their language: English, which stands in the code, or what the catalog has for it. Words.py does
// this in Python. The catalog has a text for each text, two for one that depends on a number, and for "" the language.

import { catalog } from "./catalog.js";

export const language = catalog[""];
const isEnglish = language === "en";
const filled = (text, places) => text.replace(/\{(\w+)\}/g, (place, name) => places[name] ?? place);

/** A text with its {places} filled in. */
export const _ = (text, places = {}) => filled(catalog[text] ?? text, places);

/** The one of two texts that belongs to a number, which is its {count}. */
export function ngettext(one, many, count, places = {}) {
  const [single, several] = catalog[one] ?? [one, many];
  const rule = new Intl.PluralRules(language).select(count);
  return filled(rule === "one" ? single : several, { count, ...places });
}

const formats = new Map(); // by how many places: to make one takes long

/** A number as the language writes it, as in_figures in Python: with so many places, or at most six. */
export function inFigures(number, places) {
  const exactly = { minimumFractionDigits: places ?? 0, maximumFractionDigits: places ?? 6 };
  if (!formats.has(places)) formats.set(places, new Intl.NumberFormat("en-GB", exactly));
  const figures = formats.get(places).format(number);
  if (isEnglish) return figures;
  return figures.replace(/^(-?\d),(\d{3})(?![\d,])/, "$1$2").replaceAll(",", "\u202f").replace(".", ","); // 1234,5
}

/** A sentence about a digit, which in English may be "an 8". */
export const withArticle = (sentence) => (isEnglish ? sentence.replaceAll(/\b([Aa]) 8\b/g, "$1n 8") : sentence);
