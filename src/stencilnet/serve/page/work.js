/** Carries out what the state asks for, and ends what it no longer asks for. */

import { Gone } from "./api.js";
import { releaseAddress } from "./dom.js";
import { failed, keyOf, trimmed, wanted, withBundle, withResult, withoutServer } from "./model.js";

/** Requests at once. The most urgent one is sent even beyond it. */
const LANES = 2;
const SECONDS_BETWEEN_CALLS = 1;
/** Bytes of answers that are kept. */
const MOST_BYTES = 512 * 2 ** 20;

/**
 * @param {import("./store.js").Store<import("./model.js").State>} store
 * @param {import("./api.js").Service} service
 */
export function startWork(store, service) {
  /** @type {Map<string, AbortController>} */
  const running = new Map();

  async function run(piece) {
    const control = new AbortController();
    running.set(keyOf(piece), control);
    const put = (result) => control.signal.aborted || store.update((state) => withResult(state, piece, result));
    put({ status: "busy", note: "" });
    const onNote = (note) => put({ status: "busy", note });
    const { file, small, width, height } = piece.photo;
    const [picture, pixels] = piece.size === "small" ? [small, 0] : [file, width * height];
    const options = { pixels, drawing: piece.drawing, signal: control.signal, onNote };
    const began = performance.now();
    try {
      const answer = await service.run(picture, piece.task, options);
      put({ status: "done", ...answer, ms: performance.now() - began });
    } catch (error) {
      if (control.signal.aborted) return;
      if (error instanceof Gone) store.update((state) => withoutServer(state, error.message));
      else fail(piece, error.message);
    } finally {
      running.delete(keyOf(piece));
      sync(store.get());
    }
  }

  /** The viewer and the grid show why a full answer has failed; a thumbnail has no room for it. */
  function fail(piece, message) {
    store.update((state) => withResult(state, piece, { status: "failed", message }));
    if (piece.size === "small" && piece.task !== store.get().task) store.update((state) => failed(state, message));
  }

  function sync(state) {
    const pieces = wanted(state);
    const keys = new Set(pieces.map(keyOf));
    for (const [key, control] of running) {
      if (keys.has(key)) continue;
      control.abort();
      store.update((latest) => forgotten(latest, key));
    }
    for (const [place, piece] of pieces.entries()) {
      if (place > 0 && running.size >= LANES) break;
      if (!running.has(keyOf(piece))) run(piece);
    }
  }

  store.subscribe(sync);
}

/** A run that has been cancelled is as if it had not been asked for. */
function forgotten(state, key) {
  if (state.results.get(key)?.status !== "busy") return state;
  const results = new Map(state.results);
  results.delete(key);
  return { ...state, results };
}

/** Let go of old answers, and of the addresses of all that are gone. */
export function boundMemory(store) {
  let held = new Set();
  store.subscribe((state) => {
    const blobs = new Set([...state.results.values()].map((result) => result.blob).filter(Boolean));
    for (const blob of held) if (!blobs.has(blob)) releaseAddress(blob);
    held = blobs;
    store.update((latest) => trimmed(latest, MOST_BYTES));
  });
}

/** Read the tasks, and again whenever a server that was gone is back. */
export function followServer(store, service) {
  let calling = false;

  async function call() {
    calling = true;
    try {
      if (store.get().server === "connecting" || (await service.alive())) {
        const bundle = await service.tasks();
        store.update((state) => withBundle(state, bundle));
      }
    } catch (error) {
      store.update((state) => withoutServer(state, error.message));
    }
    calling = false;
    if (store.get().server !== "ready") setTimeout(call, SECONDS_BETWEEN_CALLS * 1000);
  }

  store.subscribe((state) => {
    if (state.server !== "ready" && !calling) call();
  });
}
