/** How numbers, times and states are shown. */

const GROUPED = new Intl.NumberFormat("en");
const PRECISE = new Intl.NumberFormat("en", { maximumSignificantDigits: 15 });

export const STATES = { waiting: "Waiting", processing: "Working", done: "Done", failed: "Failed" };
export const PAIR_STATES = { running: "Working", failed: "Failed", done: "Done", waiting: "Waiting" };

/** A count, with a comma between groups of three digits. */
export const counted = (number) => GROUPED.format(number);

/** A number and the word for it: `plural(2, "pair")` is "2 pairs". */
export const plural = (number, word) => `${counted(number)} ${word}${number === 1 ? "" : "s"}`;

/** Seconds as a text, or an empty one while they are not known. */
export function left(seconds) {
  if (seconds === null || !Number.isFinite(seconds)) return "";
  if (seconds < 90) return `about ${Math.max(1, Math.round(seconds))} s left`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 90) return `about ${minutes} min left`;
  const hours = Math.round(minutes / 60);
  return hours < 48 ? `about ${hours} h left` : `about ${Math.round(hours / 24)} days left`;
}

/** Seconds that something has taken. */
export function took(seconds) {
  if (seconds < 100) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  return `${Math.floor(whole / 60)} min ${whole % 60} s`;
}

/** A loss with four digits or so. */
export function loss(value) {
  if (value === null || !Number.isFinite(value)) return "not finite";
  return Math.abs(value) >= 1000 && Math.abs(value) < 1e6 ? counted(Math.round(value)) : value.toPrecision(4).replace("e+", "e");
}

/** A weight, as a manifest would give it. */
export const weight = (value) => (value >= 0.001 && value < 1e12 ? PRECISE.format(value) : value.toExponential());

/** The address of the view of a manifest. */
export const addressOf = (manifest) => `#/manifest/${encodeURIComponent(manifest)}`;

/** A request for one picture has a name of random digits; a person needs only its beginning. */
export function shortName(manifest) {
  const request = /^request-([0-9a-f]{6})[0-9a-f]{26}$/.exec(manifest);
  return request ? `Picture ${request[1]}` : manifest;
}

/** The name of a pair: of a request for one picture, that of the request. */
export const pairName = (manifest, pair) => (shortName(manifest) === manifest ? pair : shortName(manifest));
