/** All manifests in one state, a hundred at a time. */

import { json } from "./api.js";
import { byId, element, fill, setText } from "./dom.js";
import { Pager } from "./pager.js";
import { STATES, addressOf, counted, shortName } from "./words.js";

const EACH = 100;

let state = "";
const pager = new Pager(() => byId("list-pager"), show);

/** Show the manifests in a state. */
export function showList(wanted) {
  state = wanted;
  setText(byId("list-heading"), STATES[state]);
  byId("list-items").replaceChildren();
  return pager.begin(`/manifests?state=${state}&limit=${EACH}`);
}

async function show(path) {
  const wanted = state;
  const { manifests, counts, next } = await json(path);
  if (wanted !== state) return null;
  setText(byId("list-heading"), `${STATES[state]}: ${counted(counts[state])}`);
  byId("list-empty").hidden = manifests.length > 0;
  fill(byId("list-items"), manifests, (each) => each.name, makeRow);
  return next;
}

const makeRow = ({ name }) =>
  element("li", {}, element("a", { href: addressOf(name), title: name }, shortName(name)));
