/** The form that takes two pictures, and sends them. */

import { request } from "./api.js";
import { byId, element } from "./dom.js";
import { follow } from "./job.js";
import { prepareStrength, strength } from "./strength.js";
import { fileOf, prepareZones } from "./zones.js";

const MISSING = { content: "Choose a photograph first.", style: "Choose a painting first." };

let sending = false;
let key = newKey(); // of what the form has now: the same key is the same job, however often it is sent

/** Prepare the form. */
export function prepareForm() {
  const form = byId("new-form");
  const changed = () => {
    key = newKey();
    showError();
  };
  prepareZones(changed);
  prepareStrength();
  form.addEventListener("input", changed);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send();
  });
}

async function send() {
  if (sending) return;
  const missing = ["content", "style"].find((name) => !fileOf(name));
  if (missing) {
    showError(MISSING[missing]);
    byId(missing).focus();
    return;
  }
  const button = byId("make");
  const fields = new FormData();
  fields.append("content_image", fileOf("content"));
  fields.append("style_image", fileOf("style"));
  fields.append("strength", String(strength()));
  fields.append("max_size", byId("size").value);
  const headers = { Prefer: "respond-async", "Idempotency-Key": key };
  showError();
  sending = true;
  button.setAttribute("aria-disabled", "true");
  button.textContent = "Sending …";
  try {
    const answer = await request("/stylize", { method: "POST", body: fields, headers });
    key = newKey(); // pressed again, it is a new job
    follow(answer.headers.get("Location").split("/").at(-1));
  } catch (error) {
    // A browser gives the same error for a file that has changed since it was chosen.
    const unsent = "The pictures could not be sent. Check that the server runs; if a file has changed, choose it again.";
    showError(error.status === 0 ? unsent : error.message, error.errors);
  } finally {
    sending = false;
    button.removeAttribute("aria-disabled");
    button.textContent = "Make the picture";
  }
}

function showError(text = "", errors = []) {
  const several = errors.length > 1 ? errors.map((each) => element("span", {}, each.message)) : [text];
  byId("new-error").replaceChildren(...several);
}

function newKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
