/** Pictures of the server. If they need the token, a script reads them. */

import { request, token } from "./api.js";
import { whenSeen } from "./seen.js";

/** Show a picture in an image as soon as it comes near the screen. One that is not there stays empty. */
export function showLater(image, path) {
  whenSeen(image, () => show(image, path));
}

/** Show a picture in an image. */
export async function show(image, path) {
  image.onerror = () => image.classList.add("missing");
  if (!token()) {
    image.src = path;
    return;
  }
  try {
    showBlob(image, await (await request(path)).blob());
  } catch {
    image.classList.add("missing");
  }
}

/** Show bytes in an image, and free their address once they are decoded, can't be, or are replaced before. */
export async function showBlob(image, blob) {
  const address = URL.createObjectURL(blob);
  image.src = address;
  await Promise.allSettled([image.decode()]);
  URL.revokeObjectURL(address);
}
