// Keeps work on the page over a reload, in the sessionStorage of this tab, which no other page writes to. It is written
// when the page is left or hidden. take.html, in another tab, gets a copy.

const KEY = "mynn-try-1"; // another number for another form of any part, so that none is read in the wrong form
const before = read();
const parts = new Map(); // by name: a function that returns the part as it is now

function read() {
  try {
    return JSON.parse(sessionStorage.getItem(KEY)) ?? {};
  } catch {
    return {}; // this browser stores nothing
  }
}

/** Return the part of that name as it was, or undefined. From now on, `now` returns it. */
export function stored(name, now = () => before[name]) {
  parts.set(name, now);
  return before[name];
}

/** Store all parts; return whether there was room. */
export function store() {
  const all = Object.fromEntries([...parts].map(([name, now]) => [name, now()]));
  try {
    sessionStorage.setItem(KEY, JSON.stringify(all));
    return true;
  } catch {
    return false;
  }
}

/** Empty everything, on the page too. */
export function forget() {
  parts.clear();
  location.reload();
}

addEventListener("pagehide", store);
document.addEventListener("visibilitychange", store); // a phone may end a hidden page
