// Questions to the studio's own server.

/** What the server, or the way to it, refused; `status` is 0 if there was no answer at all. */
export class Problem extends Error {
  constructor(message, status, body) {
    super(message);
    this.status = status;
    this.body = body;
  }
}

async function answer(path, options) {
  let response;
  try {
    response = await fetch(path, { credentials: "same-origin", ...options });
  } catch {
    throw new Problem("The studio does not answer: is it still running in your terminal?", 0);
  }
  const body = await response.json().catch(() => undefined);
  if (!response.ok) throw new Problem(body?.error?.message ?? `The studio answered ${response.status}.`, response.status, body);
  return body;
}

/** Get JSON; `query` becomes the search parameters. */
export function get(path, query = {}) {
  const search = new URLSearchParams(query).toString();
  return answer(search ? `${path}?${search}` : path);
}

/** Post JSON and get JSON. */
export function post(path, content) {
  return answer(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(content) });
}

/** Post the bytes of a file and get JSON. */
export function upload(path, file) {
  return answer(path, { method: "POST", headers: { "Content-Type": "application/octet-stream" }, body: file });
}
