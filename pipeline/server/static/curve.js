/** The loss of a pair over its evaluations, drawn with a logarithmic axis. */

import { drawn } from "./dom.js";
import { counted, loss } from "./words.js";

const [WIDTH, HEIGHT, EDGE] = [300, 90, 6];

/**
 * @param {[number, number|null][]} curve evaluations and losses, in order
 * @returns {SVGElement|null} none if there is nothing to draw
 */
export function curveOf(curve) {
  const points = curve.filter(([, total]) => total !== null && Number.isFinite(total));
  if (points.length < 2) return null;
  const least = Math.min(...points.map(([, total]) => total).filter((total) => total > 0), 1e300);
  const logs = points.map(([, total]) => Math.log10(Math.max(total, least)));
  const high = Math.max(...logs);
  const span = Math.max(high - Math.min(...logs), 0.1);
  const [begin, end] = [points[0][0], points.at(-1)[0]];
  const x = (step) => EDGE + ((WIDTH - 2 * EDGE) * (step - begin)) / (end - begin || 1);
  const y = (log) => EDGE + ((HEIGHT - 2 * EDGE) * (high - log)) / span;
  const places = points.map(([step], index) => `${x(step).toFixed(1)},${y(logs[index]).toFixed(1)}`);
  const [first, last] = [points[0][1], points.at(-1)[1]];
  const label = `Total loss from ${loss(first)} to ${loss(last)} in ${counted(end)} evaluations`;
  const svg = drawn("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "curve", role: "img", "aria-label": label });
  const [lastX, lastY] = places.at(-1).split(",");
  svg.append(drawn("polyline", { points: places.join(" ") }), drawn("circle", { cx: lastX, cy: lastY, r: 3 }));
  return svg;
}
