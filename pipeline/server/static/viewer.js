/** One result, large: its picture, its images, its loss curve and its parameters. */

import { Refused, json, request } from "./api.js";
import { curveOf } from "./curve.js";
import { byId, element } from "./dom.js";
import { nameOf, show, showAddress } from "./images.js";
import { addressOf, counted, loss, pairName, plural, shortName, took, weight } from "./words.js";

/** @typedef {{manifest: string, pair: string, picture: string, thumbnail: string}} Result */

let address = ""; // of the bytes of the picture
let current = null;

/** Show a result. @param {Result} result */
export async function view(result) {
  current = result;
  const name = pairName(result.manifest, result.pair);
  byId("viewer-heading").textContent = name;
  byId("viewer-manifest").textContent = shortName(result.manifest);
  byId("viewer-manifest").href = addressOf(result.manifest);
  for (const id of ["viewer-sources", "viewer-curve", "viewer-facts"]) byId(id).replaceChildren();
  byId("viewer-error").textContent = "";
  byId("viewer-save").hidden = true;
  const image = byId("viewer-picture");
  image.alt = name;
  image.removeAttribute("src");
  byId("viewer").showModal();
  byId("viewer-heading").focus();
  show(image, result.thumbnail);
  const tried = await Promise.allSettled([showPicture(result), showRecord(result)]);
  const failed = tried.find((each) => each.status === "rejected");
  if (!failed || current !== result) return;
  const { reason } = failed;
  byId("viewer-error").textContent = reason instanceof Refused ? reason.message : "The record of this picture can't be shown.";
}

/** The address of the record of a result. */
export const recordOf = ({ manifest, pair }) => `/results/${encodeURIComponent(manifest)}/${encodeURIComponent(pair)}.json`;

/** Prepare the viewer. */
export function prepareViewer() {
  const dialog = byId("viewer");
  byId("viewer-close").addEventListener("click", () => dialog.close());
  byId("viewer-manifest").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  dialog.addEventListener("close", () => {
    current = null;
    URL.revokeObjectURL(address);
    byId("viewer-picture").removeAttribute("src");
  });
}

async function showPicture(result) {
  const blob = await (await request(result.picture)).blob();
  if (current !== result) return;
  URL.revokeObjectURL(address);
  address = URL.createObjectURL(blob);
  if (blob.type !== "image/tiff") showAddress(byId("viewer-picture"), address); // a record of TIFF names a JPEG
  byId("viewer-save").hidden = false;
  byId("viewer-save").href = address;
  byId("viewer-save").download = nameOf(result.picture, blob.type);
}

/** How strong the style was: the number that was given, and the weight that came of it. */
function strengthOf({ parameters, style_weight: came }) {
  if (parameters.strength === undefined) return { "Style weight": weight(parameters.style_weight) };
  return { Strength: weight(parameters.strength), "Style weight": weight(Number(came.toPrecision(4))) };
}

async function showRecord(result) {
  const record = await json(recordOf(result));
  if (current !== result) return;
  const folder = `/results/${encodeURIComponent(result.manifest)}/`;
  if (record.thumbnail) show(byId("viewer-picture"), folder + record.thumbnail);
  for (const [role, source] of [["Photograph", record.content], ...record.styles.map((style) => ["Painting", style])]) {
    const image = element("img", { alt: `${role}: ${source.reference.split("/").at(-1)}` });
    show(image, folder + source.thumbnail);
    byId("viewer-sources").append(element("figure", {}, image, element("figcaption", { className: "quiet" }, role)));
  }
  const curve = curveOf(record.curve);
  if (curve) byId("viewer-curve").replaceChildren(curve);
  const facts = {
    "Total loss": loss(record.losses.total),
    "Content loss": loss(record.losses.content),
    "Style loss": loss(record.losses.style),
    ...strengthOf(record),
    Size: `${counted(record.width)} × ${counted(record.height)}`,
    Work: `${plural(record.evaluations, "evaluation")}, ${took(record.seconds)}`,
  };
  const rows = Object.entries(facts).map(([term, value]) => element("div", {}, element("dt", {}, term), element("dd", {}, value)));
  byId("viewer-facts").replaceChildren(...rows);
}
