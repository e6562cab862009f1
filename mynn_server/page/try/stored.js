// Keeps work on the page over a reload, in the sessionStorage of this tab, which no other page writes to. It is written
// when the page is left or hidden. take.html, in another tab, gets a copy.

const [KEY, VERSION] = ["mynn-try", 1]; // change the version with the form of any part: others are dropped
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

/** Return the part of that name as it was, or undefined. From now on, `now` returns it. */
export function stored(name, now = () => before[name]) {
  parts.set(name, now);
  return before[name];
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
  parts.clear();
  location.reload();
}

addEventListener("pagehide", store);
document.addEventListener("visibilitychange", store); // a phone may end a hidden page
