/** The events of the server. They are read with fetch, because an EventSource can't send a token. */

import { request } from "./api.js";

const FIRST = 1000; // milliseconds before the second try; the wait doubles up to the last
const LAST = 15000;

/** The event that says that others could not be sent. */
export const MISSED = "events missed";

/** @typedef {{event: string, manifest?: string, pair?: string, [key: string]: any}} Said */

const listeners = new Set();
const connected = new Set();
let current = null;

/** Call an action with each event. */
export const listen = (action) => listeners.add(action);

/** Whether an event may have changed the state of a manifest or of its pairs. */
export const concerns = (said, manifest) =>
  said.event === MISSED || (said.manifest === manifest && said.event !== "pair progress");

/** Call an action with true when events come, and with false when the connection is lost. */
export const whenConnected = (action) => connected.add(action);

/** Read events while somebody sees the page. */
export function start() {
  document.addEventListener("visibilitychange", follow);
  follow();
}

/** Read no more events. */
export function stop() {
  document.removeEventListener("visibilitychange", follow);
  current?.abort();
  current = null;
}

function follow() {
  current?.abort();
  current = document.hidden ? null : new AbortController();
  if (current) read(current.signal);
}

/** @param {AbortSignal} signal */
async function read(signal) {
  let [pause, last] = [FIRST, ""];
  while (!signal.aborted) {
    try {
      const headers = last ? { "Last-Event-ID": last } : {};
      const response = await request("/events", { headers, signal });
      for (const action of connected) action(true);
      pause = FIRST;
      for await (const said of events(response.body)) {
        last = said.id;
        for (const action of listeners) action(said.data);
      }
    } catch (error) {
      if (signal.aborted || error.status === 401) return;
    }
    for (const action of connected) action(false);
    await new Promise((resolve) => setTimeout(resolve, pause));
    pause = Math.min(2 * pause, LAST);
  }
}

/** @param {ReadableStream<Uint8Array>} body */
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const parts = (text + value).split("\n\n");
    text = parts.pop();
    for (const part of parts) {
      const fields = Object.fromEntries(part.split("\n").map((line) => line.split(/: (.*)/s, 2)));
      if (fields.data) yield { id: fields.id, data: JSON.parse(fields.data) };
    }
  }
}
