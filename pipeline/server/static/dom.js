/** Elements of the page. Text of manifests and errors only ever becomes text nodes. */

const SVG = "http://www.w3.org/2000/svg";

/** @param {string} id */
export const byId = (id) => document.getElementById(id);

/**
 * A new element. Properties that begin with "on" are listeners, those of the element are set, and all others
 * become attributes. Children are elements, or strings, which become text.
 * @param {string} tag
 * @param {Object<string, any>} properties
 * @param {...(Node|string|null)} children
 */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

/** A new SVG element with these attributes. */
export function drawn(tag, attributes) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  return made;
}

/** Set a text only if it differs, so that screen readers do not read it again. */
export function setText(target, text) {
  if (target.textContent !== text) target.textContent = text;
}

/**
 * Make the children of `parent` those of `items`, in their order. An element that is there already is kept
 * and updated, and stays in its place while only others come and go, so that it keeps focus and pictures.
 * @template T
 * @param {Element} parent
 * @param {T[]} items
 * @param {(item: T) => string} keyOf
 * @param {(item: T) => HTMLElement} make
 * @param {(made: HTMLElement, item: T) => void} update
 */
export function fill(parent, items, keyOf, make, update = () => {}) {
  const wanted = new Set(items.map(keyOf));
  for (const child of [...parent.children]) if (!wanted.has(child.dataset.key)) child.remove();
  const known = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  let place = parent.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    let child = known.get(key);
    known.delete(key);
    if (!child) {
      child = make(item);
      child.dataset.key = key;
    }
    update(child, item);
    if (child === place) place = place.nextElementSibling;
    else parent.insertBefore(child, place);
  }
}

/** Let screen readers say something. */
export function announce(text) {
  byId("announcer").textContent = text;
}

/** Show an error above everything, or hide it. */
export function notice(text) {
  setText(byId("notice"), text);
  byId("notice").hidden = !text;
}
