/** What the runner of this server works on now: kept current by events, and compared with the server. */

import { json } from "./api.js";
import { Pace } from "./pace.js";
import { Rate } from "./rate.js";
import { MISSED, listen, whenConnected } from "./stream.js";

/**
 * @typedef {{manifest: string, pair: string, step: number, steps: number, rate: Rate}} Running
 * @typedef {{name: string, pairs: number, done: number, failed: number, rate: Rate}} Open
 */

const SHOWN = 250; // milliseconds between two calls of those who want changes
const CHECKED = 15000; // milliseconds between two comparisons with the server

/** @type {Map<string, Running>} */
const running = new Map();
/** @type {Map<string, Open>} */
const open = new Map();
const whole = new Rate();
const actions = new Set();
let timer = 0;

export const state = { works: true, ready: true };

const keyOf = (manifest, pair) => `${manifest}/${pair}`;
const now = () => performance.now() / 1000;
const check = new Pace(sync, 1000, CHECKED);

/** Call an action when something has changed, a few times a second at most. */
export const whenWorkChanges = (action) => actions.add(action);

/** The pairs that are computed now. */
export const runningPairs = () => [...running.values()];

/** @returns {Running|undefined} */
export const runningPair = (manifest, pair) => running.get(keyOf(manifest, pair));

/** A manifest that the runner of this server works on. @returns {Open|undefined} */
export const openManifest = (name) => open.get(name);

/** Seconds until a pair is done, or null. */
export const pairLeft = (pair) => pair.rate.left(now(), pair.steps);

/** Seconds until a manifest is done, or null. */
export const manifestLeft = (manifest) => manifest.rate.left(now(), manifest.pairs);

/** All pairs of the manifests that are worked on: how many there are, how many have ended, seconds left. */
export function wholeWork() {
  const all = [...open.values()];
  const pairs = all.reduce((sum, each) => sum + each.pairs, 0);
  const ended = all.reduce((sum, each) => sum + each.done + each.failed, 0);
  return { pairs, ended, share: pairs ? all.reduce((sum, each) => sum + progressOf(each), 0) / pairs : 0, left: whole.left(now(), pairs) };
}

/** How many pairs of a manifest have ended, with the parts of those that are computed. */
export function progressOf(manifest) {
  let parts = 0;
  for (const pair of running.values()) if (pair.manifest === manifest.name) parts += pair.step / pair.steps;
  return Math.min(manifest.pairs, manifest.done + manifest.failed + parts);
}

/** Follow the work of the server. */
export function followWork() {
  listen(hear);
  whenConnected((connected) => connected && check.soon());
  check.soon();
}

async function sync() {
  const found = await json("/progress");
  Object.assign(state, { works: found.works, ready: found.ready });
  const [opened, pairs] = [new Set(), new Set()];
  for (const { name, ...counts } of found.manifests) {
    opened.add(name);
    Object.assign(begun(name), counts);
  }
  for (const each of found.running) {
    pairs.add(keyOf(each.manifest, each.pair));
    advance(each);
  }
  for (const name of open.keys()) if (!opened.has(name)) open.delete(name);
  for (const key of running.keys()) if (!pairs.has(key)) running.delete(key);
  changed();
}

/** @param {import("./stream.js").Said} said */
function hear(said) {
  const manifest = open.get(said.manifest);
  switch (said.event) {
    case "manifest started":
      Object.assign(begun(said.manifest), { pairs: said.pairs, done: 0, failed: 0 });
      break;
    case "pair started":
      check.soon(); // the event does not say how many evaluations there will be
      break;
    case "pair progress":
      advance(said);
      break;
    case "pair done":
    case "pair done already":
    case "pair failed":
      running.delete(keyOf(said.manifest, said.pair));
      if (manifest) manifest[said.event === "pair failed" ? "failed" : "done"] += 1;
      break;
    default:
      if (!said.manifest && said.event !== MISSED) return;
      check.soon(); // it has ended, or work on it has stopped
  }
  changed();
}

function begun(name) {
  if (!open.has(name)) open.set(name, { name, pairs: 0, done: 0, failed: 0, rate: new Rate() });
  return open.get(name);
}

function advance({ manifest, pair, step, steps }) {
  const key = keyOf(manifest, pair);
  if (!running.has(key)) running.set(key, { manifest, pair, step, steps, rate: new Rate(20) });
  const found = Object.assign(running.get(key), { step, steps });
  found.rate.add(now(), step);
}

function changed() {
  let done = 0;
  for (const manifest of open.values()) {
    const ended = progressOf(manifest);
    manifest.rate.add(now(), ended);
    done += ended;
  }
  whole.add(now(), done);
  timer ||= setTimeout(() => {
    timer = 0;
    for (const action of actions) action();
  }, SHOWN);
}
