/** The pairs of a manifest as cards, some dozens at a time. */

import { json } from "./api.js";
import { curveOf } from "./curve.js";
import { byId, element, fill, notice, setText } from "./dom.js";
import { showLater } from "./images.js";
import { Pager } from "./pager.js";
import { watchPreview } from "./previews.js";
import { whenSeen } from "./seen.js";
import { recordOf, view } from "./viewer.js";
import { pairLeft, runningPair } from "./work.js";
import { PAIR_STATES, counted, left, loss } from "./words.js";

const EACH = 48;

let manifest = "";
let wanted = ""; // the state of the pairs that are shown; empty for all
let counts = {};
const pager = new Pager(() => byId("pair-pager"), show);

/** How many pairs of the manifest are in each state, as far as it is known. */
export const pairCounts = () => counts;

/** Show the pairs of a manifest from the first one. `showPairsAgain` reads them. */
export function beginPairs(name) {
  [manifest, wanted, counts] = [name, "", {}];
  byId("pairs").replaceChildren();
  byId("pair-filter").hidden = true;
  pager.set(path());
}

/** Read the pairs that are shown again. */
export const showPairsAgain = () => pager.again();

/** Show how far the pairs have come that are computed. */
export function updateRunning(name) {
  for (const card of byId("pairs").children) {
    const pair = card.dataset.state === "running" && runningPair(name, card.dataset.pair);
    if (!pair) continue;
    card.querySelector("progress").value = pair.step / pair.steps;
    setText(card.querySelector(".card-text"), left(pairLeft(pair)));
  }
}

const path = () => `/manifests/${encodeURIComponent(manifest)}/pairs?limit=${EACH}${wanted ? `&state=${wanted}` : ""}`;

function show(found) {
  counts = found.counts;
  showFilter();
  fill(byId("pairs"), found.pairs, (each) => `${each.state} ${each.finished ?? 0} ${each.id}`, makeCard);
  updateRunning(manifest);
}

function showFilter() {
  const all = Object.values(counts).reduce((sum, each) => sum + each, 0);
  const states = Object.keys(PAIR_STATES).filter((state) => counts[state]);
  byId("pair-filter").hidden = states.length < 2;
  const choices = [["", "All", all], ...states.map((state) => [state, PAIR_STATES[state], counts[state]])];
  fill(byId("pair-filter"), choices, ([state]) => `filter ${state}`, makeChoice, (button, [state, text, count]) => {
    setText(button, `${text} ${counted(count)}`);
    button.setAttribute("aria-pressed", String(state === wanted));
  });
}

function makeChoice([state]) {
  return element("button", { type: "button", onclick: () => choose(state) });
}

async function choose(state) {
  wanted = state;
  notice("");
  try {
    await pager.begin(path());
  } catch (error) {
    notice(error.message);
  }
}

function makeCard(pair) {
  const card = element("li", { className: `card ${pair.state}` });
  card.dataset.state = pair.state;
  card.dataset.pair = pair.id;
  const heading = element("h3", { className: "card-name" }, pair.id);
  const parts = { done: donePart, running: runningPart, failed: failedPart, waiting: () => [mat("Waiting")] };
  const [first, ...rest] = parts[pair.state](pair);
  card.append(first, heading, ...rest);
  return card;
}

const mat = (text) => element("div", { className: "frame" }, element("span", { className: "quiet" }, text));

function donePart(pair) {
  const result = { manifest, pair: pair.id, picture: pair.picture, thumbnail: pair.thumbnail };
  const image = element("img", { alt: pair.id, decoding: "async" });
  showLater(image, pair.thumbnail);
  const facts = element("div", { className: "card-facts" });
  whenSeen(facts, () => showRecord(facts, result));
  const button = element("button", { className: "frame formed", "aria-label": `Show ${pair.id} large`, onclick: () => view(result) }, image);
  return [button, facts];
}

async function showRecord(facts, result) {
  try {
    const record = await json(recordOf(result));
    const curve = curveOf(record.curve);
    facts.replaceChildren(...(curve ? [curve] : []), element("p", { className: "quiet" }, `loss ${loss(record.losses.total)}`));
  } catch {
    // The record may just be replaced by a new one.
  }
}

function runningPart(pair) {
  const frame = element("div", { className: "frame" }, element("img", { alt: `${pair.id}, as it forms` }));
  watchPreview(frame, manifest, pair.id);
  const bar = element("progress", { max: 1, value: pair.step / pair.steps, "aria-label": pair.id });
  return [frame, bar, element("p", { className: "quiet card-text" })];
}

function failedPart(pair) {
  const place = pair.place ? element("code", { className: "quiet" }, pair.place) : "";
  return [element("div", { className: "frame message" }, element("p", { className: "error" }, pair.message)), place];
}
