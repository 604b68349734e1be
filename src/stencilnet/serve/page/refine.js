/** How a task that was taught can be refined: its config as a file, and the commands that take it. */

import { byId } from "./dom.js";
import { keptText, refineText } from "./lesson.js";

export function mountRefine(panel, teaching) {
  let shown = null;
  panel.subscribe(({ lesson }) => {
    const config = lesson?.config ?? null;
    byId("lesson-refine").hidden = !config;
    if (!config || config === shown) return;
    shown = config;
    byId("lesson-refine").open = false;
    byId("refine-text").textContent = refineText(config);
    byId("refine-commands").textContent = config.commands.join("\n");
    byId("refine-kept").textContent = keptText(config);
    byId("refine-config").href = teaching.config(lesson.id);
  });
}
