/** The page: which view is shown, and what follows from events. */

import { showCounts } from "./counts.js";
import { byId, notice, setText } from "./dom.js";
import { prepareForm } from "./form.js";
import { prepareGate } from "./gate.js";
import { prepareJob, readJobSoon } from "./job.js";
import { readListSoon, showList } from "./list.js";
import { leaveManifest, prepareManifest, showManifest } from "./manifest.js";
import { readOthersSoon, showRunning } from "./running.js";
import { MISSED, listen, start, stop, whenConnected } from "./stream.js";
import { prepareViewer } from "./viewer.js";
import { showWall } from "./wall.js";
import { followWork } from "./work.js";
import { STATES, shortName } from "./words.js";

const VIEWS = ["home", "list", "manifest"];
let prepared = false;

function enter() {
  if (!prepared) {
    prepared = true;
    followWork();
    showRunning();
    window.addEventListener("hashchange", () => route(true));
  }
  start();
  route(false);
  showCounts();
  readJobSoon();
}

/** Show the view that the address names. `moved` if somebody has followed a link to it. */
function route(moved) {
  const [kind, part = ""] = location.hash.slice(2).split("/");
  const name = decoded(part);
  notice("");
  leaveManifest();
  if (kind === "manifest" && name) {
    showOnly("manifest", shortName(name), moved);
    showManifest(name);
  } else if (kind === "manifests" && Object.hasOwn(STATES, name)) {
    showOnly("list", STATES[name], moved);
    showList(name);
  } else {
    showOnly("home", "", moved);
    showWall();
    readOthersSoon();
  }
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return "";
  }
}

function showOnly(view, title, moved) {
  for (const each of VIEWS) byId(each).hidden = each !== view;
  document.title = title ? `${title} · Style transfer` : "Style transfer";
  if (!moved) return;
  scrollTo(0, 0);
  byId(view).querySelector("h2").focus({ preventScroll: true });
}

function hear(said) {
  if (["pair done", "manifest done", MISSED].includes(said.event)) showWall();
  if (said.event.startsWith("manifest ") || said.level === "warning" || said.event === MISSED) {
    showCounts();
    readOthersSoon();
    readListSoon();
  }
}

// The address stays that of the view.
byId("skip").addEventListener("click", (event) => {
  event.preventDefault();
  byId("main").focus();
});
prepareViewer();
prepareForm();
prepareJob();
prepareManifest();
listen(hear);
whenConnected((connected) => setText(byId("connection"), connected ? "" : "The connection is lost. Trying again."));
prepareGate(enter, stop);
