/**
 * Pictures as they form. The server makes a preview of a pair only while somebody asks for it, so this asks
 * every two seconds, for the pairs that are on the screen, and not at all while nobody sees the page.
 */

import { request } from "./api.js";
import { showBlob } from "./images.js";

const EVERY = 2000; // milliseconds
const MOST = 8; // pairs that are asked for at once

/** @typedef {{path: string, asked: number, etag: string, busy: boolean}} Preview */

/** @type {Map<Element, Preview>} what each frame shows */
const frames = new Map();
const onScreen = new Set();
let timer = 0;

const observer = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (entry.isIntersecting) onScreen.add(entry.target);
    else onScreen.delete(entry.target);
  }
});

/** Show the preview of a pair in the image of a frame from now on. The frame gets the class `formed`. */
export function watchPreview(frame, manifest, pair) {
  const path = `/manifests/${encodeURIComponent(manifest)}/pairs/${encodeURIComponent(pair)}/preview`;
  frames.set(frame, { path, asked: 0, etag: "", busy: false });
  observer.observe(frame);
  timer ||= setInterval(ask, EVERY);
  setTimeout(ask, 100); // once it is known to be on the screen
}

/** Show no more previews in a frame. */
export function endPreview(frame) {
  observer.unobserve(frame);
  frames.delete(frame);
  onScreen.delete(frame);
  if (frames.size) return;
  clearInterval(timer);
  timer = 0;
}

function ask() {
  for (const frame of frames.keys()) if (!frame.isConnected) endPreview(frame);
  if (document.hidden) return;
  const now = performance.now();
  const free = MOST - [...frames.values()].filter((preview) => preview.busy).length;
  const due = [...frames]
    .filter(([frame, preview]) => onScreen.has(frame) && !preview.busy && now >= preview.asked + EVERY - 200)
    .sort(([, a], [, b]) => a.asked - b.asked);
  for (const [frame, preview] of due.slice(0, free)) {
    preview.asked = now;
    load(frame, preview);
  }
}

/** @param {Preview} preview */
async function load(frame, preview) {
  preview.busy = true;
  try {
    const response = await request(preview.path);
    const etag = response.headers.get("ETag") ?? "";
    const blob = await response.blob();
    if (frames.get(frame) === preview && (!etag || etag !== preview.etag)) {
      preview.etag = etag;
      showBlob(frame.querySelector("img"), blob);
      frame.classList.add("formed");
    }
  } catch {
    // There is no preview yet; the next try may find one.
  } finally {
    preview.busy = false;
  }
}
