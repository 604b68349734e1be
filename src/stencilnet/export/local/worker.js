/** Runs the engine beside the page, which stays quick; one request at a time. */

import { openSite } from "./engine.js";

const base = new URL("..", import.meta.url).href;
let engine = null;

const ACTIONS = {
  tasks: ({ list }) => list(),
  load: ({ load }) => load(),
  install: ({ install }, { archive }) => install(archive),
  run: ({ run }, { picture, task, drawing }) => run(picture, task, drawing),
};

self.addEventListener("message", async ({ data }) => {
  try {
    engine ??= await openSite(base);
    self.postMessage({ value: await ACTIONS[data.action](engine, data) });
  } catch (error) {
    self.postMessage({ error: error?.message ?? String(error), broken: error?.broken ?? false });
  }
});
