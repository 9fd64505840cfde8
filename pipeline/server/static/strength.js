/** The slider for the strength of the style. */

import { byId } from "./dom.js";

/** The strength that the slider shows, with two digits. */
export const strength = () => Number((10 ** Number(byId("strength").value)).toPrecision(2));

/** Show beside the slider what it means. */
export function prepareStrength() {
  const show = () => {
    const [slider, value] = [byId("strength"), strength()];
    const text = value === 1 ? "1, balanced" : String(value);
    byId("strength-text").textContent = text;
    slider.setAttribute("aria-valuetext", `strength ${text}`);
  };
  byId("strength").addEventListener("input", show);
  show();
}
