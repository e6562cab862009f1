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

/** Corrects the English article in a sentence about a digit: "an 8". */
export const withArticle = (sentence) => (isEnglish ? sentence.replaceAll(/\b([Aa]) 8\b/g, "$1n 8") : sentence);
