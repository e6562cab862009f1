"use strict";
// While its command runs, the page is served, and looks for something new. Opened as a file, it shows what was there last.
const PAUSE = 1000; // milliseconds
const served = location.protocol === "http:";
document.documentElement.classList.toggle("served", served);
let version = "";
let beforeNews = (page) => {}; // keeps what another page shall have of this one

async function ask(path, options = {}) {
  const answer = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(10000), ...options });
  if (!answer.ok) throw new Error(answer.statusText);
  return answer.text();
}

async function refresh() {
  const now = await ask("/version");
  if (now === version) return;
  const page = new DOMParser().parseFromString(await ask("/"), "text/html");
  beforeNews(page);
  page.querySelector("script").remove();
  document.body.replaceWith(document.adoptNode(page.body));
  version = now;
}

async function press(button, what = "") {
  await ask(`/${button}`, { method: "POST", headers: { "X-Button": "1" }, body: what });
  await refresh();
}

async function keepRefreshing() {
  try {
    await refresh();
    document.documentElement.classList.remove("over");
  } catch {
    document.documentElement.classList.add("over");
  }
  setTimeout(keepRefreshing, PAUSE);
}

if (served) setTimeout(keepRefreshing, PAUSE);
