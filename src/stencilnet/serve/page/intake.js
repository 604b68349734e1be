/** Photos from outside: picked, dropped, pasted, single or in folders. */

import { failed, withPhoto, withReading } from "./model.js";

/** Pixels of the longer side of the copies that thumbnails are made of. */
const SMALL = 256;
const MOST_NAMES = 3;

let nextId = 1;

/**
 * Read files one after the other into the state; what is no picture is told.
 *
 * @param {import("./store.js").Store<import("./model.js").State>} store
 * @param {File[]} files
 * @param {AbortSignal} signal Ends it; photos that have been read stay.
 */
export async function readPhotos(store, files, signal) {
  const refused = [];
  for (const [done, file] of files.entries()) {
    if (signal.aborted) break;
    store.update((state) => withReading(state, { done, total: files.length }));
    const photo = await decoded(file);
    if (photo) store.update((state) => withPhoto(state, photo));
    else refused.push(file.name);
  }
  store.update((state) => withReading(state, null));
  if (refused.length) store.update((state) => failed(state, refusal(refused)));
}

function refusal(names) {
  const more = names.length - MOST_NAMES;
  const list = names.slice(0, MOST_NAMES).join(", ") + (more > 0 ? ` and ${more} more` : "");
  const what = names.length === 1 ? "is not a picture" : "are not pictures";
  return `${list} ${what} that this browser can read. Choose PNG, JPEG or WebP files.`;
}

/** @returns {Promise<import("./model.js").Photo | null>} The photo, or null if the browser cannot read it. */
async function decoded(file) {
  try {
    const bitmap = await createImageBitmap(file); // upright, as cameras noted it
    const { width, height } = bitmap;
    const small = await shrunk(bitmap);
    bitmap.close();
    return { id: nextId++, name: file.name, file, small, width, height };
  } catch {
    return null;
  }
}

async function shrunk(bitmap) {
  const ratio = Math.min(1, SMALL / Math.max(bitmap.width, bitmap.height));
  const side = (length) => Math.max(1, Math.round(length * ratio));
  const [width, height] = [side(bitmap.width), side(bitmap.height)];
  const copy = await createImageBitmap(bitmap, { resizeWidth: width, resizeHeight: height, resizeQuality: "high" });
  const canvas = new OffscreenCanvas(width, height);
  canvas.getContext("bitmaprenderer").transferFromImageBitmap(copy);
  return canvas.convertToBlob({ type: "image/png" });
}

/** The files of a drop, those in folders included, hidden ones left out. */
export async function droppedFiles(transfer) {
  // Entries must be taken at once: the browser empties the list after the event.
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry()).filter(Boolean);
  if (entries.length === 0) return [...transfer.files];
  return (await Promise.all(entries.map(filesOf))).flat();
}

/** What a folder holds, as people list it: hidden files left out, 9 before 10. */
export const listed = (files) =>
  [...files]
    .filter(({ name }) => !name.startsWith("."))
    .sort((one, other) => one.name.localeCompare(other.name, undefined, { numeric: true }));

async function filesOf(entry) {
  if (entry.isFile) return [await new Promise((resolve, reject) => entry.file(resolve, reject))];
  const inside = listed(await childrenOf(entry.createReader()));
  return (await Promise.all(inside.map(filesOf))).flat();
}

/** A reader gives its entries in portions, the last of which is empty. */
async function childrenOf(reader) {
  const found = [];
  for (;;) {
    const portion = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (portion.length === 0) return found;
    found.push(...portion);
  }
}
