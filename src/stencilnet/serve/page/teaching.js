/** The service's operations that teach (docs/service.md). */

import { events, patiently, sent } from "./http.js";

/** @param {(path: string) => URL} at */
export function createTeaching(at) {
  const path = (id, rest = "") => at(`v1/teaching/${id}${rest}`);

  return {
    /** @returns {Promise<import("./lesson.js").Lesson | null>} */
    current: async () => (await (await sent(at("v1/teaching"), { cache: "no-store" })).json()).lesson,
    /** @param {Record<string, string>} settings */
    begin: async (settings) => (await sent(at(`v1/teaching?${new URLSearchParams(settings)}`), { method: "POST" })).json(),
    async send(id, folder, name, file, signal, onNote) {
      const url = path(id, `/pictures/${folder}?${new URLSearchParams({ name })}`);
      const body = new FormData();
      body.append("image", file);
      await patiently(() => sent(url, { method: "POST", body, signal }), signal, onNote);
    },
    start: async (id) => (await sent(path(id, "/start"), { method: "POST" })).json(),
    follow: (id) => events(path(id, "/events")),
    cancel: (id) => sent(path(id), { method: "DELETE", keepalive: true }), // also from a page that is being closed
    config: (id) => path(id, "/config").href,
    samples: (id, step) => path(id, `/samples/${step}`).href,
  };
}
