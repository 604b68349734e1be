/** Requests to the server: what its answers mean, and what is done where it is busy. */

/** The service cannot be reached. */
export class Gone extends Error {}

/** The service has refused or failed; the message is for people. */
export class Refused extends Error {}

class Busy extends Error {
  constructor(seconds) {
    super();
    this.seconds = seconds;
  }
}

const SECONDS = 1000;

/** Send a request; answers other than success become errors. */
export async function sent(url, options) {
  const answer = await reached(() => fetch(url, options));
  if (answer.ok) return answer;
  const wait = Number(answer.headers.get("Retry-After"));
  const message = await messageOf(answer);
  if (answer.status === 429) throw new Busy(wait > 0 ? wait : 1);
  // Without a time to try again, the server is stopping; with one, this picture took too long.
  if (answer.status === 503 && !wait) throw new Gone(message);
  throw new Refused(message);
}

/** A transfer that fails, other than by our own cancelling, means that the server is gone. */
export async function reached(transfer) {
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

/**
 * Try again while the server is busy, after the time that it names, until cancelled.
 *
 * @template Answer
 * @param {() => Promise<Answer>} attempt
 * @param {AbortSignal} signal
 * @param {(text: string) => void} onNote Told what is waited for.
 * @returns {Promise<Answer>}
 */
export async function patiently(attempt, signal, onNote) {
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof Busy)) throw error;
      onNote(`The server is busy. Trying again in ${error.seconds} s.`);
      await pause(error.seconds * SECONDS, signal);
    }
  }
}

function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}

/** The data of server-sent events as they come. `EventSource` would connect again after the last one. */
export async function* events(url, signal) {
  const answer = await sent(url, { signal, cache: "no-store" });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reached(() => reader.read());
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const data = /^data: (.*)$/m.exec(block);
      if (data) yield JSON.parse(data[1]);
    }
  }
}
