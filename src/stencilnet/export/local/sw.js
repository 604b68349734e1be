/**
 * Keeps the site's files by their hashes, so that the page works offline, a changed site costs its changed files, and
 * WebAssembly has several threads from the second visit on.
 *
 * `FILES`, written in front of this by the export, has the SHA-256 of each file.
 */

const CACHE = "stencilnet";
/** Files that are kept when they are used first: most browsers do without. */
const isOptional = (path) => /^runtime\/.*(webgpu|asyncify)/.test(path);
const scope = self.registration.scope;
const keyOf = (path) => `${new URL(path, scope).href}?sha256=${FILES[path]}`;

self.addEventListener("install", (event) => event.waitUntil(kept().then(() => self.skipWaiting())));
self.addEventListener("activate", (event) => event.waitUntil(freed().then(() => self.clients.claim())));
self.addEventListener("fetch", (event) => {
  const path = pathOf(event.request);
  if (path in FILES) event.respondWith(answered(path, event.request));
});

function pathOf({ url, method }) {
  const { origin, pathname, href } = new URL(url);
  const plain = origin + pathname;
  if (method !== "GET" || !href.startsWith(scope)) return null;
  return decodeURIComponent(plain.slice(scope.length)) || "index.html";
}

async function answered(path, request) {
  const cache = await caches.open(CACHE);
  const kept = await cache.match(keyOf(path));
  if (kept || !isOptional(path)) return kept ? own(kept) : fetch(request);
  const answer = await fetched(path);
  await cache.put(keyOf(path), answer.clone());
  return own(answer);
}

/**
 * An answer of the site itself: the page may use threads, which the host need not allow, and the answer counts as the
 * address's own where the host has redirected it (browsers refuse other answers to a visit).
 */
function own({ body, headers: given }) {
  const headers = new Headers(given);
  headers.set("Cross-Origin-Opener-Policy", "same-origin");
  headers.set("Cross-Origin-Embedder-Policy", "require-corp");
  return new Response(body, { headers });
}

async function kept() {
  const cache = await caches.open(CACHE);
  const paths = Object.keys(FILES).filter((path) => !isOptional(path));
  for (const path of paths) if (!(await cache.match(keyOf(path)))) await cache.put(keyOf(path), await fetched(path));
}

/** A file of another hash than ours is of a site that is being replaced; the browser tries again later. */
async function fetched(path) {
  const answer = await fetch(new URL(path, scope), { cache: "no-cache" });
  const data = await answer.clone().arrayBuffer();
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", data));
  const digits = Array.from(hash, (byte) => byte.toString(16).padStart(2, "0"));
  if (!answer.ok || digits.join("") !== FILES[path]) throw new Error(`${path} is not the file of this site.`);
  return answer;
}

/** Delete files that are no longer the site's. */
async function freed() {
  const cache = await caches.open(CACHE);
  const wanted = new Set(Object.keys(FILES).map(keyOf));
  for (const { url } of await cache.keys()) if (!wanted.has(url)) await cache.delete(url);
}
