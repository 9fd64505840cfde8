/** The places for two pictures: files are dropped there, or chosen. */

import { byId } from "./dom.js";
import { showBlob } from "./images.js";

const ZONES = ["content", "style"];

/** The file of a place, or undefined. */
export const fileOf = (name) => byId(name).files[0];

/** Let both places take files. `onChange` is called when one of them has another file. */
export function prepareZones(onChange) {
  for (const name of ZONES) {
    const zone = byId(`${name}-zone`);
    byId(name).addEventListener("change", () => {
      showChoice(name);
      onChange();
    });
    for (const kind of ["dragenter", "dragover"]) zone.addEventListener(kind, () => zone.classList.add("over"));
    for (const kind of ["dragleave", "drop"]) zone.addEventListener(kind, () => zone.classList.remove("over"));
    zone.addEventListener("drop", (event) => take(name, [...event.dataTransfer.files]));
  }
  // A file that misses its place must not replace this page.
  for (const kind of ["dragover", "drop"]) window.addEventListener(kind, (event) => event.preventDefault());
}

/** Put dropped files into places: the first into this one, and a second one into the other if that is empty. */
function take(name, files) {
  const [first, second] = files;
  const other = ZONES.find((each) => each !== name);
  if (first) put(name, first);
  if (second && !fileOf(other)) put(other, second);
}

function put(name, file) {
  const holder = new DataTransfer();
  holder.items.add(file);
  byId(name).files = holder.files;
  byId(name).dispatchEvent(new Event("change"));
}

function showChoice(name) {
  const zone = byId(`${name}-zone`);
  const [image, text, file] = [zone.querySelector("img"), zone.querySelector(".zone-text span"), fileOf(name)];
  zone.classList.toggle("filled", Boolean(file));
  image.hidden = !file;
  text.textContent = file ? file.name : "drop it here, or choose a file";
  if (!file) return;
  image.onerror = () => (image.hidden = true); // a format that this browser can't show, such as HEIC
  showBlob(image, file);
}
