/** Calls an action now and then: never twice at once, never too often, and not while nobody sees the page. */

import { notice } from "./dom.js";

export class Pace {
  /**
   * @param {() => Promise<void>} action
   * @param {number} least milliseconds between two calls
   * @param {number} most milliseconds after which it is called in any case
   */
  constructor(action, least, most) {
    [this.action, this.least, this.most] = [action, least, most];
    [this.timer, this.busy, this.again] = [0, false, false];
    this.ended = -Infinity; // when the last call ended
    this.begun = false;
    this.failed = false; // the last call, and the notice says so
    document.addEventListener("visibilitychange", () => this.begun && !document.hidden && this.soon());
  }

  /** Call it as soon as that is allowed. */
  soon() {
    this.begun = true;
    if (this.busy) this.again = true;
    else this.plan(Math.max(0, this.ended + this.least - performance.now()));
  }

  plan(pause) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.run(), pause);
  }

  async run() {
    if (document.hidden || this.busy) return;
    [this.busy, this.again] = [true, false];
    try {
      await this.action();
      if (this.failed) notice("");
      this.failed = false;
    } catch (error) {
      this.begun = error.status !== 401; // without the token, wait until somebody has entered it
      this.failed = error.status !== 401 && error.status !== 0;
      if (this.failed) notice(error.message);
    }
    [this.busy, this.ended] = [false, performance.now()];
    if (!this.begun) return;
    this.plan(this.again ? this.least : this.most);
  }
}
