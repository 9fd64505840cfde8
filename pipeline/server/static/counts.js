/** How many manifests wait, are worked on, are done, have failed. */

import { json } from "./api.js";
import { byId, setText } from "./dom.js";
import { Pace } from "./pace.js";
import { STATES, counted } from "./words.js";

const LISTED = 6000; // milliseconds for which the server uses a listing, and a little more

const pace = new Pace(read, 2000, 10000);
let later = 0;

/** Show the numbers, now and once the server has made a new listing, and read them again now and then. */
export function showCounts() {
  pace.soon();
  clearTimeout(later);
  later = setTimeout(() => pace.soon(), LISTED);
}

async function read() {
  const { counts } = await json("/manifests?limit=1");
  for (const state of Object.keys(STATES)) setText(byId(`count-${state}`), counted(counts[state]));
  byId("count-failed").classList.toggle("alarm", counts.failed > 0);
}
