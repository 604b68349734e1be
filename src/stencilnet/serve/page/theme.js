/** Light or dark: as the system is, until the switch is used. Nothing of it is stored. */

import { byId } from "./dom.js";

export function mountTheme() {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const button = byId("theme");
  let chosen = null;

  function show() {
    const dark = chosen ?? system.matches;
    document.documentElement.style.colorScheme = dark ? "dark" : "light";
    button.setAttribute("aria-pressed", String(dark));
  }

  button.addEventListener("click", () => {
    chosen = !(chosen ?? system.matches);
    show();
  });
  system.addEventListener("change", show);
  show();
}
