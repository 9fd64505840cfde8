/** Buttons that lead through a list that the server gives in parts. */

import { json } from "./api.js";
import { element, notice } from "./dom.js";

export class Pager {
  /**
   * @param {() => Element} place where the buttons are
   * @param {(found: {next: string|null}) => Promise<void>|void} show shows a part of the list
   */
  constructor(place, show) {
    [this.place, this.show] = [place, show];
    /** @type {string[]} the parts up to the one that is shown */
    this.paths = [];
    this.shown = ""; // what the buttons depend on
  }

  /** Begin with this part, which `again` shows. */
  set(path) {
    this.paths = [path];
    this.place().replaceChildren();
  }

  /** Show the first part. */
  begin(path) {
    this.paths = [path];
    return this.again();
  }

  /** Show the same part as before, or the first one if that part is not there any more. */
  async again() {
    const paths = this.paths;
    let found;
    try {
      found = await json(paths.at(-1));
    } catch (error) {
      if (error.status !== 409 || paths.length === 1) throw error;
      if (paths === this.paths) await this.begin(paths[0]);
      return;
    }
    if (paths === this.paths) await this.show(found);
    if (paths === this.paths) this.render(found.next); // unless it has shown another part instead
  }

  async go(paths) {
    this.paths = paths;
    notice("");
    try {
      await this.again();
    } catch (error) {
      notice(error.message);
    }
    this.place().parentElement.querySelector("h2, h3")?.scrollIntoView({ block: "nearest" });
  }

  render(next) {
    const shown = JSON.stringify([this.paths.length, next]);
    if (shown === this.shown && this.place().childElementCount) return;
    this.shown = shown;
    const focused = this.place().contains(document.activeElement) ? document.activeElement.textContent : "";
    const earlier = this.paths.length > 1;
    const buttons = [];
    if (earlier) buttons.push(element("button", { type: "button", onclick: () => this.go(this.paths.slice(0, -1)) }, "Previous"));
    if (earlier || next) buttons.push(element("span", { className: "quiet" }, `Part ${this.paths.length}`));
    if (next) buttons.push(element("button", { type: "button", onclick: () => this.go([...this.paths, next]) }, "Next"));
    this.place().replaceChildren(...buttons);
    const wanted = buttons.find((button) => button.textContent === focused) ?? buttons.find((each) => each.localName === "button");
    if (focused) wanted?.focus();
  }
}
