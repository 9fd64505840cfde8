/** The newest pictures of all manifests. */

import { json } from "./api.js";
import { byId, element, fill } from "./dom.js";
import { showLater } from "./images.js";
import { Pace } from "./pace.js";
import { view } from "./viewer.js";
import { pairName, shortName } from "./words.js";

const PICTURES = 25;

const pace = new Pace(read, 3000, 20000);

/** Show the wall, and read it again now and then. */
export const showWall = () => pace.soon();

async function read() {
  if (byId("home").hidden) return;
  const { results } = await json(`/results?limit=${PICTURES}`);
  byId("wall-empty").hidden = results.length > 0;
  fill(byId("wall"), results, (each) => `${each.manifest}/${each.pair}/${each.finished}`, makeTile);
}

function makeTile(result) {
  const name = pairName(result.manifest, result.pair);
  const label = name === shortName(result.manifest) ? name : `${name}, ${shortName(result.manifest)}`;
  const image = element("img", { alt: "", decoding: "async" });
  showLater(image, result.thumbnail);
  return element(
    "li",
    {},
    element("button", { className: "tile", "aria-label": `Show ${label}`, title: label, onclick: () => view(result) }, image),
  );
}
