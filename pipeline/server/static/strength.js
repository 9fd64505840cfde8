/** The slider for the strength of the style: the exponent of `style_weight`. */

import { byId } from "./dom.js";
import { counted } from "./words.js";

const DEFAULT = 6; // the exponent of the default, a million

/** The style weight that the slider shows, with two digits. */
export const styleWeight = () => Number((10 ** Number(byId("strength").value)).toPrecision(2));

/** Show beside the slider what it means. */
export function prepareStrength() {
  const show = () => {
    const [slider, weight] = [byId("strength"), styleWeight()];
    const standard = Number(slider.value) === DEFAULT ? ", the default" : "";
    byId("strength-text").textContent = counted(weight) + standard;
    slider.setAttribute("aria-valuetext", `style weight ${counted(weight)}${standard}`);
  };
  byId("strength").addEventListener("input", show);
  show();
}
