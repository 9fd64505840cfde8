/** How many manifests wait, are worked on, are done, have failed. */

import { json } from "./api.js";
import { byId, setText } from "./dom.js";
import { Pace } from "./pace.js";
import { STATES, counted } from "./words.js";

const pace = new Pace(read, 2000, 10000);

/** Show the numbers, and read them again now and then. */
export const showCounts = () => pace.soon();

async function read() {
  const { counts } = await json("/manifests?limit=1");
  for (const state of Object.keys(STATES)) setText(byId(`count-${state}`), counted(counts[state]));
  byId("count-failed").classList.toggle("alarm", counts.failed > 0);
}
