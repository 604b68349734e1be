/** Lists of buttons: their items are kept over changes, and arrow keys move between them. */

/**
 * Keep a list's items over changes, so that neither focus nor pictures are lost.
 *
 * @template Value, Item
 * @param {HTMLElement} list
 * @param {(value: Value) => Item & {element: HTMLElement}} make
 * @returns {(values: Value[], keyOf: (value: Value) => unknown) => Item[]}
 */
export function keyed(list, make) {
  let items = new Map();
  return (values, keyOf) => {
    const next = new Map(values.map((value) => [keyOf(value), items.get(keyOf(value)) ?? make(value)]));
    for (const [key, item] of items) if (!next.has(key)) item.element.remove();
    items = next;
    const elements = [...items.values()];
    elements.forEach(({ element }, place) => {
      if (list.children[place] !== element) list.insertBefore(element, list.children[place] ?? null);
    });
    return elements;
  };
}

/** A list is one stop of the Tab key; arrows, Home and End move within it. */
export function moveByArrows(list) {
  list.addEventListener("keydown", (event) => {
    const buttons = [...list.querySelectorAll(".thumb:not(:disabled)")];
    const at = buttons.indexOf(document.activeElement);
    const to = {
      ArrowRight: at + 1,
      ArrowDown: at + 1,
      ArrowLeft: at - 1,
      ArrowUp: at - 1,
      Home: 0,
      End: buttons.length - 1,
    }[event.key];
    if (at < 0 || to === undefined) return;
    event.preventDefault();
    buttons[(to + buttons.length) % buttons.length].focus();
  });
}
