/** Requests to the server: with the token, and with errors that are sentences. */

const KEY = "nst-token";

/** An answer that is an error. `errors` has each error with its place; `status` is 0 without an answer. */
export class Refused extends Error {
  constructor(status, detail, errors = []) {
    super(detail);
    this.status = status;
    /** @type {{place?: string, message: string, id?: string}[]} */
    this.errors = errors;
  }
}

let onTokenNeeded = () => {};

/** Call an action when the server wants a token, or another one. */
export const whenTokenIsNeeded = (action) => (onTokenNeeded = action);

export const token = () => sessionStorage.getItem(KEY);

export function keepToken(text) {
  if (text) sessionStorage.setItem(KEY, text);
  else sessionStorage.removeItem(KEY);
}

/**
 * The answer to a request. Throws `Refused`, and an `AbortError` if `options.signal` ends it.
 * @param {string} path
 * @param {RequestInit} options
 */
export async function request(path, options = {}) {
  const headers = new Headers(options.headers);
  if (token()) headers.set("Authorization", `Bearer ${token()}`);
  let response;
  try {
    response = await fetch(path, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, "The server can't be reached. Check that it runs, and try again.");
  }
  if (response.ok) return response;
  const refused = await refusedBy(response);
  if (refused.status === 401) onTokenNeeded();
  throw refused;
}

/** The JSON object that is the answer to a request. */
export const json = async (path, options) => (await request(path, options)).json();

async function refusedBy(response) {
  try {
    const problem = await response.json();
    return new Refused(response.status, problem.detail, problem.errors);
  } catch {
    return new Refused(response.status, `The server answers ${response.status}.`);
  }
}
