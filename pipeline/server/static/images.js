/** Pictures of the server. If they need the token, a script reads them. */

import { request, token } from "./api.js";
import { whenSeen } from "./seen.js";

/** Show a picture in an image as soon as it comes near the screen. One that is not there stays empty. */
export function showLater(image, path) {
  whenSeen(image, () => show(image, path));
}

/** The name under which a picture is saved: the last part of its address, with the suffix of its media type. */
export function nameOf(path, type) {
  const name = decodeURIComponent(path.split("/").at(-1));
  return name.includes(".") ? name : `${name}.${type.split("/").at(-1).replace("jpeg", "jpg")}`;
}

const wanted = new WeakMap(); // the path of the picture that an image is to show

/** Show a picture in an image, in place of any other one. */
export async function show(image, path) {
  wanted.set(image, path);
  image.onload = () => image.classList.remove("missing");
  image.onerror = () => image.classList.add("missing");
  if (!token()) {
    image.src = path;
    return;
  }
  try {
    const blob = await (await request(path)).blob();
    if (wanted.get(image) === path) showBlob(image, blob);
  } catch {
    if (wanted.get(image) === path) image.classList.add("missing");
  }
}

/** Show what is at an address of this page in an image, in place of any other picture. */
export function showAddress(image, address) {
  wanted.set(image, address);
  image.src = address;
}

/** Show bytes in an image, and free their address once they are decoded, can't be, or are replaced before. */
export async function showBlob(image, blob) {
  const address = URL.createObjectURL(blob);
  image.src = address;
  await Promise.allSettled([image.decode()]);
  URL.revokeObjectURL(address);
}
