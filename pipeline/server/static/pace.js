/** Calls an action now and then: never twice at once, never too often, and not while nobody sees the page. */

import { byId, notice } from "./dom.js";

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
    this.shown = ""; // the error of a call that was shown last
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
      if (this.shown && byId("notice").textContent === this.shown) notice("");
      this.shown = "";
    } catch (error) {
      this.begun = error.status !== 401; // without the token, wait until somebody has entered it
      if (error.status !== 401 && error.status !== 0) notice((this.shown = error.message));
    }
    [this.busy, this.ended] = [false, performance.now()];
    if (!this.begun) return;
    this.plan(this.again ? this.least : this.most);
  }
}
