/**
 * The service over HTTP (docs/service.md).
 *
 * @typedef {object} Service What the page needs of whoever runs the tasks.
 * @property {boolean} local Whether pictures stay on this machine.
 * @property {() => Promise<import("./model.js").Bundle>} tasks
 * @property {(picture: Blob, task: string, options: {drawing: boolean, signal: AbortSignal, onWait: (seconds: number) => void})
 *   => Promise<{blob: Blob, labels: import("./model.js").Labels | null}>} run
 * @property {() => Promise<boolean>} alive
 * @property {(archive: Blob) => Promise<import("./model.js").Bundle>} [install] Adds the tasks of a ZIP archive, where it can.
 * @property {string} [gone] What the page says while it cannot be reached; by default, that of a server.
 */

/** The service cannot be reached. */
export class Gone extends Error {}

/** The service has refused or failed; the message is for people. */
export class Refused extends Error {}

const SECONDS = 1000;

/**
 * @param {string} base The address that paths are relative to.
 * @returns {Service}
 */
export function createService(base = document.baseURI) {
  const at = (path) => new URL(path, base);

  return {
    local: isLoopback(at("").hostname),
    tasks: async () => (await sent(at("v1/tasks"), { cache: "no-store" })).json(),
    async run(picture, task, { drawing, signal, onWait }) {
      const url = at(`v1/tasks/${encodeURIComponent(task)}${drawing ? "?input=edges" : ""}`);
      const options = {
        method: "POST",
        body: picture,
        headers: { "Content-Type": picture.type.startsWith("image/") ? picture.type : "application/octet-stream" },
        signal,
      };
      const answer = await patiently(() => sent(url, options), signal, onWait);
      return withLabels(await body(answer));
    },
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

class Busy extends Error {
  constructor(seconds) {
    super();
    this.seconds = seconds;
  }
}

/** Send a request; answers other than success become errors. */
async function sent(url, options) {
  const answer = await reached(() => fetch(url, options));
  if (answer.ok) return answer;
  const wait = Number(answer.headers.get("Retry-After"));
  const message = await messageOf(answer);
  if (answer.status === 429) throw new Busy(wait > 0 ? wait : 1);
  // Without a time to try again, the server is stopping; with one, this picture took too long.
  if (answer.status === 503 && !wait) throw new Gone(message);
  throw new Refused(message);
}

const body = (answer) => reached(() => answer.blob());

/** A transfer that fails, other than by our own cancelling, means that the server is gone. */
async function reached(transfer) {
  try {
    return await transfer();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Gone("The server does not answer. Is `stencil serve` still running?");
  }
}

async function messageOf(answer) {
  try {
    return (await answer.json()).error.message;
  } catch {
    return `The server answered with status ${answer.status}, and no message. Try again.`;
  }
}

/** Try again while the server is busy, after the time that it names, until cancelled. */
async function patiently(attempt, signal, onWait) {
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof Busy)) throw error;
      onWait(error.seconds);
      await pause(error.seconds * SECONDS, signal);
    }
  }
}

function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}
