/** Keys that work anywhere on the page, and the dialog that lists them. */

import { byId, h, openDialog } from "./dom.js";

/**
 * @typedef {{keys: string[], text: string, run?: () => void}} Shortcut `keys` are values of `KeyboardEvent.key`; those
 *   without `run` are handled where they work, and are only listed.
 *
 * @param {Shortcut[]} shortcuts
 */
export function mountKeys(shortcuts) {
  const help = /** @type {HTMLDialogElement} */ (byId("help"));
  const all = [...shortcuts, { keys: ["?"], text: "Show these keys", run: () => help.showModal() }];
  byId("keys").append(
    ...all.map(({ keys, text }) => h("div", {}, h("dt", {}, ...keys.map((key) => h("kbd", {}, key))), h("dd", {}, text))),
  );
  byId("show-help").addEventListener("click", () => help.showModal());

  document.addEventListener("keydown", (event) => {
    if (openDialog() || event.altKey) return;
    const control = event.ctrlKey || event.metaKey;
    const name = control ? `Ctrl ${event.key.toUpperCase()}` : event.key;
    // A selected text is copied as usual.
    if (name === "Ctrl C" && !getSelection().isCollapsed) return;
    const found = all.find(({ keys, run }) => run && keys.includes(name));
    if (!found) return;
    event.preventDefault();
    found.run();
  });
}
