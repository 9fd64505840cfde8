/** All manifests in one state, a hundred at a time. */

import { byId, element, fill, setText } from "./dom.js";
import { Pace } from "./pace.js";
import { Pager } from "./pager.js";
import { STATES, addressOf, counted, shortName } from "./words.js";

const EACH = 100;

let state = "";
const pager = new Pager(() => byId("list-pager"), show);
const pace = new Pace(read, 3000, 20000);

/** Show the manifests in a state from the first one. */
export function showList(wanted) {
  state = wanted;
  setText(byId("list-heading"), STATES[state]);
  byId("list-items").replaceChildren();
  byId("list-empty").hidden = true;
  pager.set(`/manifests?state=${state}&limit=${EACH}`);
  pace.now();
}

/** Read the list again, if it is shown. */
export const readListSoon = () => !byId("list").hidden && pace.soon();

async function read() {
  if (!byId("list").hidden) await pager.again();
}

async function show({ manifests, counts }) {
  setText(byId("list-heading"), `${STATES[state]}: ${counted(counts[state])}`);
  byId("list-empty").hidden = counts[state] > 0;
  if (manifests.length || pager.paths.length === 1) fill(byId("list-items"), manifests, (each) => each.name, makeRow);
  else await pager.begin(pager.paths[0]); // the manifests of this part have moved on
}

const makeRow = ({ name }) =>
  element("li", {}, element("a", { href: addressOf(name), title: name }, shortName(name)));
