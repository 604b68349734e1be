/** The service of the page (`api.js`) without a server: tasks run in a worker of this browser. */

import { Gone, Refused, withLabels } from "../api.js";

/** Milliseconds that a cancelled run may still take. Beyond, a new worker is ready sooner. */
const PATIENCE = 1000;

/** @returns {import("../api.js").Service} */
export function createService(base = document.baseURI) {
  /** Requests that a new worker gets first. */
  const first = [];
  const asked = startQueue(new URL("local/worker.js", base).href, first);
  // The page works offline from now on; where a browser refuses this, it works online.
  navigator.serviceWorker?.register(new URL("sw.js", base)).catch((error) => console.info(error));

  return {
    local: true,
    gone: "The files of this site cannot be reached. This page tries again by itself.",
    async tasks() {
      try {
        const bundle = await asked({ action: "tasks" });
        if (!first.length) load();
        return bundle;
      } catch (error) {
        throw new Gone(error.message);
      }
    },
    async run(picture, task, { drawing, signal }) {
      return withLabels(await asked({ action: "run", picture, task, drawing }, signal));
    },
    async install(archive) {
      const request = { action: "install", archive };
      const bundle = await asked(request);
      first.push(request);
      return bundle;
    },
    alive: async () => true,
  };

  /** Load what runs tasks while a photo is chosen. No photo's run waits for it, so cancelling one does not end it. */
  function load() {
    const request = { action: "load" };
    first.push(request);
    asked(request).catch(() => {}); // a run tries again, and tells why it fails
  }
}

/**
 * Returns a function that sends a request to a worker and returns its answer. One request is sent at a time: those that
 * are cancelled before are never run, and one that is cancelled while it runs ends with its worker.
 *
 * @param {string} script The worker's address.
 * @param {object[]} first Requests that a worker gets before all others, when it takes the place of one that has failed.
 */
function startQueue(script, first) {
  const waiting = [];
  let worker = null;
  let current = null;

  function next() {
    if (waiting.length && !worker) {
      worker = started();
      waiting.unshift(...first.map((request) => ({ request, resolve() {}, reject() {} })));
    }
    current = waiting.shift() ?? null;
    if (current) worker.postMessage(current.request);
  }

  function started() {
    // A worker from a blob has this page's policy: it cannot send anything elsewhere.
    const address = URL.createObjectURL(new Blob([`import ${JSON.stringify(script)};`], { type: "text/javascript" }));
    const made = new Worker(address, { type: "module" });
    made.addEventListener("message", ({ data }) => {
      if (made !== worker) return;
      if ("error" in data) fail(data.error, data.broken);
      else current.resolve(data.value);
      next();
    });
    made.addEventListener("error", (event) => {
      event.preventDefault();
      if (made !== worker) return;
      fail("This browser cannot run tasks: it is too old, or out of memory. Reload the page.", true);
      next();
    });
    return made;
  }

  function fail(message, isBroken) {
    current?.reject(new Refused(message));
    if (!isBroken) return;
    worker.terminate();
    worker = null;
  }

  /** End what runs, which has been cancelled. */
  function stop() {
    fail("It has been cancelled.", true);
    next();
  }

  return (request, signal) =>
    new Promise((resolve, reject) => {
      const entry = { request, resolve, reject };
      signal?.addEventListener("abort", () => {
        if (waiting.includes(entry)) waiting.splice(waiting.indexOf(entry), 1);
        setTimeout(() => entry === current && stop(), PATIENCE);
        reject(signal.reason);
      });
      waiting.push(entry);
      if (!current) next();
    });
}
