/** Estimates how long something takes from how much of it was done in the last while. */

const LEAST = 0.5; // seconds between two samples

export class Rate {
  /** @param {number} window seconds of the past that count */
  constructor(window = 60) {
    this.window = window;
    /** @type {{at: number, done: number}[]} */
    this.samples = [];
  }

  /** Note how much is done at a time, in seconds. If it is less than before, the estimate begins again. */
  add(at, done) {
    const last = this.samples.at(-1);
    if (last && done < last.done) this.samples = [];
    if (last && done >= last.done && at < last.at + LEAST) return;
    this.samples.push({ at, done });
    while (this.samples.length > 2 && this.samples[0].at < at - this.window) this.samples.shift();
  }

  /** Seconds until `total` is done, or null while that is not known. */
  left(at, total) {
    const [first, last] = [this.samples[0], this.samples.at(-1)];
    if (!first || last.done <= first.done) return null;
    const speed = (last.done - first.done) / (last.at - first.at);
    return Math.max(0, (total - last.done) / speed - (at - last.at));
  }
}
