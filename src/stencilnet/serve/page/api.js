/**
 * The service over HTTP (docs/service.md).
 *
 * @typedef {object} Service What the page needs of whoever runs the tasks.
 * @property {boolean} local Whether pictures stay on this machine.
 * @property {() => Promise<import("./model.js").Bundle>} tasks
 * @property {(picture: Blob, task: string, options: Options) => Promise<{blob: Blob, labels: import("./model.js").Labels | null}>} run
 * @property {() => Promise<boolean>} alive
 * @property {(archive: Blob) => Promise<import("./model.js").Bundle>} [install] Adds the tasks of a ZIP archive, where it can.
 * @property {ReturnType<typeof createTeaching>} [teaching] Teaches new tasks, where `tasks` says that this is offered.
 * @property {string} [gone] What the page says while it cannot be reached; by default, that of a server.
 *
 * @typedef {object} Options
 * @property {number} pixels Of the picture.
 * @property {boolean} drawing Whether the picture is a drawing already.
 * @property {AbortSignal} signal
 * @property {(note: string) => void} onNote Told what the run waits for; an empty text while it runs.
 */

import { Gone, Refused, events, patiently, reached, sent } from "./http.js";
import { createTeaching } from "./teaching.js";

export { Gone, Refused };

/** Larger pictures run as jobs, which have no time limit. */
const MOST_PIXELS = 2 ** 20;

/**
 * @param {string} base The address that paths are relative to.
 * @returns {Service}
 */
export function createService(base = document.baseURI) {
  const at = (path) => new URL(path, base);

  return {
    local: isLoopback(at("").hostname),
    tasks: async () => (await sent(at("v1/tasks"), { cache: "no-store" })).json(),
    async run(picture, task, options) {
      const send = options.pixels > MOST_PIXELS ? ranAsJob : ran;
      return withLabels(await send(at, picture, task, options));
    },
    teaching: createTeaching(at),
    async alive() {
      try {
        return (await fetch(at("healthz"), { cache: "no-store" })).ok;
      } catch {
        return false;
      }
    },
  };
}

/** An answer, and its labels if it is not a picture. */
export async function withLabels(blob) {
  const labels = blob.type.startsWith("application/json") ? JSON.parse(await blob.text()).labels : null;
  return { blob, labels };
}

/** Names of this machine, as browsers and the server know them. */
export const isLoopback = (host) => /^(localhost|.+\.localhost|127(\.\d+){3}|\[::1\])$/.test(host);

async function ran(at, picture, task, { drawing, signal, onNote }) {
  const url = at(`v1/tasks/${encodeURIComponent(task)}${drawing ? "?input=edges" : ""}`);
  return blobOf(await patiently(() => sent(url, { ...posted(picture), signal }), signal, onNote));
}

async function ranAsJob(at, picture, task, { drawing, signal, onNote }) {
  const url = at(`v1/jobs?tasks=${encodeURIComponent(task)}${drawing ? "&input=edges" : ""}`);
  // This request is not aborted: the job would run on, and nobody would know its id.
  const { id } = await (await patiently(() => sent(url, posted(picture)), signal, onNote)).json();
  const job = at(`v1/jobs/${id}`);
  const forget = () => fetch(job, { method: "DELETE", keepalive: true }).catch(() => {});
  addEventListener("pagehide", forget);
  try {
    await ended(job, signal, onNote);
    return await blobOf(await sent(`${job}/result/${encodeURIComponent(task)}`, { signal }));
  } finally {
    removeEventListener("pagehide", forget);
    forget();
  }
}

/** Follow a job until it is done. */
async function ended(job, signal, onNote) {
  for await (const { state, error } of events(`${job}/events`, signal)) {
    if (state === "done") return;
    if (state === "failed") throw new Refused(error.message);
    onNote(state === "waiting" ? "Other pictures run first." : "");
  }
  throw new Gone("The server is stopping.");
}

const blobOf = (answer) => reached(() => answer.blob());

const posted = (picture) => ({
  method: "POST",
  body: picture,
  headers: { "Content-Type": picture.type.startsWith("image/") ? picture.type : "application/octet-stream" },
});
