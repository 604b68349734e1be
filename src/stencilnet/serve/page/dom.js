/** Elements, and numbers as text. Data become text nodes and properties, never markup. */

/**
 * Make an element.
 *
 * @param {string} name
 * @param {Record<string, unknown>} [properties] Attributes; `on...` are listeners, `null` and `false` are left out.
 * @param {...(Node | string | null)} children
 */
export function h(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value !== null && value !== false) element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

/** @returns {HTMLElement} */
export const byId = (id) => document.getElementById(id);

/** The dialog that is open, or null: it gets what is typed, pasted and dropped. */
export const openDialog = () => document.querySelector("dialog[open]");

const SVG = "http://www.w3.org/2000/svg";

/** A picture of those that index.html defines; what it says is said by the label of its button. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("aria-hidden", "true");
  svg.append(document.createElementNS(SVG, "use"));
  svg.firstChild.setAttribute("href", `#icon-${name}`);
  return svg;
}

/** @type {WeakMap<Blob, string>} */
const addresses = new WeakMap();

/** The address of a blob. One for each blob: an address that changed would load the picture again. */
export function addressOf(blob) {
  if (!addresses.has(blob)) addresses.set(blob, URL.createObjectURL(blob));
  return addresses.get(blob);
}

/** Let the browser free a blob that is shown no more. */
export function releaseAddress(blob) {
  URL.revokeObjectURL(addresses.get(blob));
  addresses.delete(blob);
}

/** Bytes as "65 KB" or "0.94 MB"; a kilobyte is 1000 bytes. */
export function bytesText(bytes) {
  if (bytes < 1000) return `${bytes} B`;
  if (bytes < 999_500) return `${bytes < 9_950 ? (bytes / 1000).toFixed(1) : Math.round(bytes / 1000)} KB`;
  return `${(bytes / 1e6).toFixed(bytes < 9.995e6 ? 2 : 1)} MB`;
}

export const timeText = (ms) => (ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(ms < 9950 ? 1 : 0)} s`);
export const percentText = (share) => `${share >= 0.095 || share === 0 ? Math.round(100 * share) : (100 * share).toFixed(1)} %`;

/** A task's bytes, and the time of its last run if there is an answer. */
export const factOf = (task, result) =>
  result?.status === "done" ? `${bytesText(task.bytes)} · ${timeText(result.ms)}` : bytesText(task.bytes);
