// Keeps work on the page over a reload, in the tab's sessionStorage. It is written when the page is left or hidden.
// Whatever is read back is untrusted: each part has a check, and a part that fails is dropped.

const [KEY, VERSION] = ["mynn-try", 1]; // change the version with the form of any part
const before = read();
const parts = new Map(); // by name: a function that returns the part as it is now

function read() {
  try {
    const { version, ...found } = JSON.parse(sessionStorage.getItem(KEY)) ?? {};
    return version === VERSION ? found : {};
  } catch {
    return {}; // not JSON, or this browser stores nothing
  }
}

/** Return the part of that name if `isWhole`, else null. From now on, it is what `now` returns. */
export function stored(name, isWhole, now) {
  parts.set(name, now);
  try {
    return isWhole(before[name]) ? before[name] : null;
  } catch {
    return null; // it is of another form altogether
  }
}

/** Store all parts; return whether there was room. */
export function store() {
  const all = [...parts].map(([name, now]) => [name, now()]);
  try {
    sessionStorage.setItem(KEY, JSON.stringify({ version: VERSION, ...Object.fromEntries(all) }));
    return true;
  } catch {
    return false;
  }
}

/** Empty everything, on the page too. */
export function forget() {
  removeEventListener("pagehide", store);
  document.removeEventListener("visibilitychange", store);
  sessionStorage.removeItem(KEY);
  location.reload();
}

addEventListener("pagehide", store);
document.addEventListener("visibilitychange", store); // a phone may end a hidden page

// --- numbers as text

/** Float32 weights as base64. */
export function asText(weights) {
  const bytes = new Uint8Array(Float32Array.from(weights).buffer);
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
}

export const asWeights = (text) => new Float32Array(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer);
export const isBetween = (number, least, most) => Number.isFinite(number) && least <= number && number <= most;
export const isList = (list, isWhole) => Array.isArray(list) && list.every(isWhole);
