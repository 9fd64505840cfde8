/** The view of one manifest: its state, what to do about it, its errors and its pairs. */

import { json, request } from "./api.js";
import { showCounts } from "./counts.js";
import { announce, byId, element, fill, notice, setText } from "./dom.js";
import { Pace } from "./pace.js";
import { beginPairs, pairCounts, showPairsAgain, updateRunning } from "./pairs.js";
import { concerns, listen } from "./stream.js";
import { manifestLeft, openManifest, progressOf, whenWorkChanges } from "./work.js";
import { STATES, counted, left, plural, shortName } from "./words.js";

const MOST_ERRORS = 50; // that are shown at once

let name = "";
let found = null;
let gone = false; // there is no such manifest, which was said
const pace = new Pace(read, 2000, 15000);

const pathOf = () => `/manifests/${encodeURIComponent(name)}`;

/** Prepare the view. */
export function prepareManifest() {
  byId("manifest-cancel").addEventListener("click", () => act("", "DELETE", "Cancelled."));
  byId("manifest-retry").addEventListener("click", () => act("/retry", "POST", "It waits again."));
  listen((said) => name && concerns(said, name) && pace.soon());
  whenWorkChanges(() => {
    if (!name || !found) return;
    showProgress();
    updateRunning(name);
  });
}

/** Show a manifest. */
export async function showManifest(wanted) {
  name = wanted;
  setText(byId("manifest-heading"), shortName(name));
  byId("manifest-heading").title = name;
  hideAll();
  pace.now();
}

function hideAll() {
  [found, gone] = [null, false];
  setText(byId("manifest-state"), "");
  byId("manifest-state").className = "";
  for (const id of ["manifest-cancel", "manifest-retry", "manifest-errors", "manifest-progress"]) byId(id).hidden = true;
  beginPairs(name);
}

/** Show no manifest any more. */
export const leaveManifest = () => (name = "");

async function read() {
  if (!name) return;
  const wanted = name;
  try {
    const answer = await json(pathOf());
    if (wanted !== name) return;
    [found, gone] = [answer, false];
  } catch (error) {
    if (error.status !== 404 || wanted !== name) throw error;
    if (gone) return;
    hideAll();
    gone = true;
    setText(byId("manifest-state"), "There is no manifest of this name. It may have been removed.");
    return;
  }
  show();
  await showPairsAgain();
  if (wanted === name) showProgress();
}

function show() {
  setText(byId("manifest-state"), STATES[found.state]);
  byId("manifest-state").className = `badge ${found.state}`;
  byId("manifest-cancel").hidden = !["waiting", "processing"].includes(found.state);
  byId("manifest-retry").hidden = found.state !== "failed";
  showErrors();
  showProgress();
}

function showErrors() {
  const { errors, error_count: count } = found;
  byId("manifest-errors").hidden = !errors.length;
  if (!errors.length) return;
  const cancelled = count === 1 && errors[0].message === "cancelled by hand";
  setText(byId("manifest-errors-heading"), cancelled ? "Cancelled" : plural(count, "error"));
  setText(
    byId("manifest-remedy"),
    cancelled
      ? "Retry to work on it again. Pairs that are done are not computed again."
      : "Correct what is named here, in the images or in the manifest, then retry. Pairs that are done are not computed again.",
  );
  // Those without a pair come first. They are nowhere else.
  const shown = errors.filter((error, index) => index < MOST_ERRORS || !error.id).map((error, index) => ({ ...error, index }));
  fill(byId("manifest-error-list"), shown, (e) => `${e.index} ${e.place} ${e.message}`, makeError);
  const more = count - shown.length;
  setText(byId("manifest-error-more"), more ? `${counted(more)} more are listed with their pairs.` : "");
}

const makeError = ({ id, place, message }) =>
  element(
    "li",
    {},
    id ? element("b", {}, id) : null,
    id ? " " : null,
    place ? element("code", {}, place) : null,
    element("p", {}, message),
  );

function showProgress() {
  const opened = openManifest(name);
  const counts = pairCounts();
  const working = found && found.state === "processing";
  const pairs = opened?.pairs ?? found?.pairs ?? Object.values(counts).reduce((sum, each) => sum + each, 0);
  byId("manifest-progress").hidden = !working || !pairs;
  if (!working || !pairs) return;
  const done = opened ? opened.done + opened.failed : (found.done ?? 0);
  byId("manifest-bar").value = (opened ? progressOf(opened) : done) / pairs;
  const time = opened ? left(manifestLeft(opened)) : "";
  setText(byId("manifest-text"), `${counted(done)} of ${plural(pairs, "pair")}${time ? ` · ${time}` : ""}`);
}

async function act(action, method, said) {
  const heading = byId("manifest-heading");
  notice("");
  try {
    await request(pathOf() + action, { method });
    announce(said);
    heading.focus(); // the button that was pressed is hidden now
  } catch (error) {
    notice(error.message);
  }
  pace.soon();
  showCounts();
}
