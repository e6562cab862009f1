// What the plugins for Jupyter's pages share: requests to the Pi, and lines across the page.

const PATIENCE = 60_000; // milliseconds

/** Return the address of one of the start page's files or answers. */
export const ours = (name) => new URL(name, import.meta.url).href;

/** Return the header that a request which changes something needs. */
export const allowed = () => ({ "X-XSRFToken": /(?:^|; )_xsrf=([^;]+)/.exec(document.cookie)?.[1] ?? "" });

/** Fetch an answer as JSON; null if the Pi does not answer. */
export async function ask(name) {
  try {
    const answer = await fetch(ours(name), { signal: AbortSignal.timeout(PATIENCE) });
    return answer.ok && !answer.redirected ? await answer.json() : null;
  } catch {
    return null;
  }
}

/** The lines at the top of the page, one below the other. */
export const lines = Object.assign(document.createElement("div"), { id: "mynn-lines" });
document.body.append(lines);

/** Show a text in a line across the page; a press removes it. Return its element. */
export function addLine(properties, text) {
  const line = Object.assign(document.createElement("button"), { textContent: text, ...properties });
  line.setAttribute("role", "alert");
  line.addEventListener("click", () => line.remove());
  (line.id ? document.body : lines).append(line); // with an id: the teacher's message, at the bottom
  return line;
}
