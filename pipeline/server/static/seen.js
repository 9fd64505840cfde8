/** Calls actions when elements come near the screen for the first time. */

/** @type {WeakMap<Element, () => void>} */
const actions = new WeakMap();
const observer = new IntersectionObserver(
  (entries) => {
    for (const entry of entries.filter((each) => each.isIntersecting)) {
      observer.unobserve(entry.target);
      actions.get(entry.target)?.();
    }
  },
  { rootMargin: "200px" },
);

/** Call an action once, as soon as an element comes near the screen. */
export function whenSeen(element, action) {
  actions.set(element, action);
  observer.observe(element);
}
