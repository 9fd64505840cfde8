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
    [this.timer, this.due] = [0, Infinity]; // of the next call, and when it is due
    [this.busy, this.again] = [false, Infinity]; // whether a call runs, and milliseconds from its end to the next one
    this.ended = -Infinity; // when the last call ended
    this.begun = false;
    this.shown = ""; // the error of a call that was shown last
    document.addEventListener("visibilitychange", () => this.begun && !document.hidden && this.soon());
  }

  /** Call it as soon as that is allowed. */
  soon(pause = this.least) {
    this.begun = true;
    if (this.busy) this.again = Math.min(this.again, pause);
    else this.plan(Math.max(0, this.ended + pause - performance.now()));
  }

  /** Call it at once, or as soon as a call has ended that runs: somebody waits for something else now. */
  now() {
    this.soon(0);
  }

  plan(pause) {
    const due = performance.now() + pause;
    if (due >= this.due) return;
    clearTimeout(this.timer);
    this.due = due;
    this.timer = setTimeout(() => this.run(), pause);
  }

  async run() {
    this.due = Infinity;
    if (document.hidden || this.busy) return;
    [this.busy, this.again] = [true, Infinity];
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
    this.plan(Math.min(this.again, this.most));
  }
}
