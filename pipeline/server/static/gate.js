/** Asks for the token, if the server wants one. */

import { Refused, json, keepToken, token, whenTokenIsNeeded } from "./api.js";
import { byId } from "./dom.js";

/** Call `enter` once the server answers, and `leave` when it wants another token. */
export function prepareGate(enter, leave) {
  let inside = false;
  const ask = (text = "") => {
    byId("token-error").textContent = text;
    byId("token-form").hidden = false;
    byId("app").hidden = true;
    byId("token").focus();
  };
  const open = async () => {
    await json("/manifests?limit=1");
    byId("token-form").hidden = true;
    byId("app").hidden = false;
    inside = true;
    enter();
  };
  whenTokenIsNeeded(() => {
    if (!inside) return;
    inside = false;
    leave();
    ask("The server wants another token now.");
  });
  byId("token-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      const given = byId("token").value.trim();
      // A header can't have other characters, and no token has them.
      if (!/^[\x21-\x7e]+$/.test(given)) throw new Refused(401, "");
      keepToken(given);
      await open();
      byId("token").value = "";
    } catch (error) {
      if (error.status === 401) keepToken("");
      ask(error.status === 401 ? "This is not the token of this server." : error.message);
    }
  });
  open().catch((error) => {
    if (error.status === 401) {
      const wrong = token() !== null;
      keepToken("");
      ask(wrong ? "The server wants another token now." : "");
    } else {
      // Without an answer, show the page: it tries again, and says what is wrong.
      byId("app").hidden = false;
      inside = true;
      enter();
    }
  });
}
