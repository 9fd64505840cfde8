/** Follows the last job of the form: its state, its preview, its picture. */

import { json, request } from "./api.js";
import { byId, element, notice, setText } from "./dom.js";
import { nameOf, showBlob } from "./images.js";
import { Pace } from "./pace.js";
import { endPreview, watchPreview } from "./previews.js";
import { concerns, listen } from "./stream.js";
import { view } from "./viewer.js";
import { showCounts } from "./counts.js";
import { showWall } from "./wall.js";
import { pairLeft, runningPair, whenWorkChanges } from "./work.js";
import { left } from "./words.js";

const PAIR = "picture"; // the id of the only pair of a job
const TEXTS = { waiting: "Waiting for its turn.", processing: "Working on it.", done: "Done.", failed: "It has failed." };

let id = "";
let state = "";
let address = ""; // of the bytes of the picture
const pace = new Pace(read, 1000, 5000);

/** Prepare what belongs to jobs. */
export function prepareJob() {
  byId("job-cancel").addEventListener("click", () => act(`/manifests/${id}`, "DELETE"));
  byId("job-retry").addEventListener("click", () => act(`/manifests/${id}/retry`, "POST"));
  byId("job-frame").addEventListener("click", () => view(result()));
  listen((said) => id && concerns(said, id) && pace.soon());
  whenWorkChanges(showProgress);
}

/** Follow a job from now on. */
export function follow(job) {
  id = job;
  byId("job").hidden = false;
  byId("job-frame").classList.remove("formed");
  byId("job-picture").removeAttribute("src");
  show({ state: "waiting", errors: [] });
  showCounts();
  watchPreview(byId("job-frame"), id, PAIR);
  byId("job").scrollIntoView({ block: "nearest", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
  pace.soon();
}

/** Ask for the state of the job that is followed, if there is one. */
export const readJobSoon = () => id && pace.soon();

const result = () => ({ manifest: id, pair: PAIR, picture: `/jobs/${id}/picture`, thumbnail: `/jobs/${id}/picture` });

const isOver = () => state === "done" || state === "failed";

async function read() {
  if (!id || isOver()) return;
  const job = id;
  const found = await json(`/jobs/${job}`);
  if (job === id) show(found);
}

function show(found) {
  const ended = !isOver() && found.state === "done";
  state = found.state;
  setText(byId("job-state"), TEXTS[state]);
  byId("job-bar").hidden = isOver();
  byId("job-cancel").hidden = isOver();
  byId("job-retry").hidden = state !== "failed";
  byId("job-save").hidden = true;
  byId("job-frame").hidden = state === "failed";
  byId("job-frame").disabled = state !== "done";
  byId("job-errors").hidden = state !== "failed";
  byId("job-errors").replaceChildren(...found.errors.map((error) => element("li", {}, error.message)));
  showProgress();
  if (isOver()) {
    endPreview(byId("job-frame"));
    showCounts();
    showWall();
  }
  if (ended) showPicture();
}

function showProgress() {
  const pair = runningPair(id, PAIR);
  const bar = byId("job-bar");
  if (pair) bar.value = pair.step / pair.steps;
  else bar.removeAttribute("value");
  if (pair && state === "waiting") {
    state = "processing";
    setText(byId("job-state"), TEXTS.processing);
  }
  setText(byId("job-left"), pair && !isOver() ? left(pairLeft(pair)) : "");
}

async function showPicture() {
  const job = id;
  try {
    const blob = await (await request(result().picture)).blob();
    if (job !== id) return;
    URL.revokeObjectURL(address);
    address = URL.createObjectURL(blob);
    showBlob(byId("job-picture"), blob);
    byId("job-picture").alt = "Your picture";
    byId("job-frame").classList.add("formed");
    byId("job-frame").setAttribute("aria-label", "Show your picture large");
    byId("job-save").hidden = false;
    byId("job-save").href = address;
    byId("job-save").download = nameOf(result().picture, blob.type);
  } catch (error) {
    notice(error.message);
  }
}

async function act(path, method) {
  notice("");
  try {
    await request(path, { method });
    byId("job-heading").focus({ preventScroll: true }); // the button that was pressed is hidden now
    if (method === "POST") follow(id);
    else await read();
  } catch (error) {
    notice(error.message);
  }
  showCounts();
}
