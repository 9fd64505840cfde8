/** The section "Now": each pair that is computed, with its preview, its progress and the time left. */

import { json } from "./api.js";
import { byId, element, fill, setText } from "./dom.js";
import { Pace } from "./pace.js";
import { watchPreview } from "./previews.js";
import { openManifest, pairLeft, runningPairs, state, whenWorkChanges, wholeWork } from "./work.js";
import { addressOf, counted, left, pairName, plural, shortName } from "./words.js";

const MOST = 12; // cards
const ELSEWHERE = 6; // manifests of other runners
const CHECKED = 10000; // milliseconds between two looks at them

/** @type {{name: string, pairs: number|null, done: number|null}[]} */
let elsewhere = [];
const others = new Pace(readOthers, 3000, CHECKED);

/** Show what is worked on. */
export function showRunning() {
  whenWorkChanges(render);
  others.soon();
}

/** Read again what other runners work on. */
export const readOthersSoon = () => others.soon();

async function readOthers() {
  if (byId("home").hidden) return;
  const { manifests } = await json("/manifests?state=processing&limit=100");
  const names = manifests.map((each) => each.name).filter((name) => !openManifest(name));
  const found = names.slice(0, ELSEWHERE).map((name) => json(`/manifests/${encodeURIComponent(name)}`));
  const answers = await Promise.allSettled(found);
  elsewhere = answers.filter((each) => each.value?.state === "processing").map((each) => each.value);
  render();
}

function render() {
  renderWhole();
  const pairs = runningPairs();
  const shown = [
    ...pairs.slice(0, MOST).map((pair) => ({ key: `${pair.manifest}/${pair.pair}`, pair })),
    ...elsewhere.filter((each) => !openManifest(each.name)).map((manifest) => ({ key: manifest.name, manifest })),
  ];
  byId("now").hidden = !shown.length && (state.ready || !state.works);
  fill(byId("running"), shown, (each) => each.key, makeCard, updateCard);
  const more = Math.max(0, pairs.length - MOST);
  const starting = state.ready || !state.works ? "" : "The engine is starting.";
  setText(byId("running-more"), more ? `${plural(more, "more pair")} at the same time.` : starting);
}

function renderWhole() {
  const { pairs, ended, share, left: seconds } = wholeWork();
  byId("whole").hidden = !pairs;
  byId("whole-bar").value = share;
  const time = left(seconds);
  setText(byId("whole-text"), `${counted(ended)} of ${plural(pairs, "pair")}${time ? ` · ${time}` : ""}`);
}

function makeCard({ pair, manifest }) {
  const name = pair ? pairName(pair.manifest, pair.pair) : shortName(manifest.name);
  const of = pair ? pair.manifest : manifest.name;
  const frame = pair ? element("div", { className: "frame" }, element("img", { alt: `${name}, as it forms` })) : null;
  if (pair) watchPreview(frame, pair.manifest, pair.pair);
  const where = name === shortName(of) ? null : element("span", { className: "quiet" }, shortName(of));
  return element(
    "li",
    { className: pair ? "card" : "card plain" },
    frame,
    element("p", { className: "card-name" }, element("a", { href: addressOf(of) }, name), " ", where),
    element("progress", { max: 1, value: 0, "aria-label": name }),
    element("p", { className: "quiet card-text" }),
  );
}

function updateCard(card, { pair, manifest }) {
  const share = pair ? pair.step / pair.steps : manifest.pairs ? manifest.done / manifest.pairs : null;
  const bar = card.querySelector("progress");
  if (share === null) bar.removeAttribute("value");
  else bar.value = share;
  const time = pair ? left(pairLeft(pair)) : "";
  const done = pair ? `${Math.floor(100 * share)} %` : doneText(manifest);
  setText(card.querySelector(".card-text"), time ? `${done} · ${time}` : done);
}

const doneText = ({ pairs, done }) => (pairs ? `${counted(done ?? 0)} of ${plural(pairs, "pair")}` : `${plural(done ?? 0, "pair")} done`);
