/** From a photo to a task's input at the scale of its training, and from the raw output to a picture. */

import { KINDS } from "./kinds.js";
import { BICUBIC, BILINEAR, resizedPicture, resizedPlane } from "./resample.js";

/** Values of a resized output that are decided at once, to bound memory. */
const BAND = 2 ** 24;

/** The shorter side at which a task's network sees pictures; null if it sees them at their own size. */
export function trainedSide(scaling, record) {
  return scaling === "native" ? null : lengthOf(record.recipe.view?.resize);
}

/** @returns {import("./pictures.js").Photo} The photo at the size at which the network sees it. */
export function seen(photo, side) {
  const { width, height } = photo;
  if (!side) return photo;
  const [wide, high] = [width, height].map((length) => Math.max(1, rounded((length * side) / Math.min(width, height))));
  return wide === width && high === height ? photo : resizedPicture(photo, wide, high, BILINEAR);
}

/**
 * The photo as a network sees it that labels it, which is how its test did.
 *
 * @param {import("./pictures.js").Photo} photo
 * @param {object} record The task's record.
 * @param {string[]} former Settings of older bundles, which take the place of its view's and always mean a crop.
 * @returns {import("./pictures.js").Photo}
 */
export function seenWhole(photo, { recipe, settings }, former) {
  const own = former.filter((name) => name in settings).map((name) => [name, settings[name]]);
  const view = { ...recipe.view, ...Object.fromEntries(own) };
  const crop = own.length || view.test === "crop" ? lengthOf(view.crop) : null;
  const shorter = lengthOf(view.resize) ?? Math.min(photo.width, photo.height);
  const whole = seen(photo, Math.max(crop ?? 1, shorter));
  return crop ? cropped(whole, crop) : whole;
}

const lengthOf = (length) => (Number.isInteger(length) && length >= 1 ? length : null);

/** The middle of a photo, a square. */
function cropped({ width, height, data }, side) {
  const [left, top] = [width, height].map((length) => Math.floor((length - side) / 2));
  const pixels = new Uint8Array(3 * side * side);
  for (let y = 0; y < side; y++) {
    const start = 3 * ((top + y) * width + left);
    pixels.set(data.subarray(start, start + 3 * side), 3 * side * y);
  }
  return { width: side, height: side, data: pixels, alpha: null };
}

/** To even, as Python does. */
const rounded = (value) => (value % 1 === 0.5 ? 2 * Math.round(value / 2) : Math.round(value));

/**
 * @param {object} record The task's record.
 * @param {string} scaling What is resized to the photo's size: the raw "output", or the "picture".
 * @param {Float32Array} output
 * @param {import("./pictures.js").Photo} photo
 * @param {import("./pictures.js").Photo} given The photo as the network has seen it.
 * @param {Float32Array} input
 * @returns {import("./pictures.js").Picture}
 */
export function answered(record, scaling, output, photo, given, input) {
  const { answer, palette: paletteOf } = KINDS[record.kind];
  const palette = paletteOf?.(record.settings);
  if (given !== photo && scaling === "output") return { ...decided(record, output, photo, given), palette };
  const picture = { width: given.width, height: given.height, data: bytes(answer(record.settings, output, input)), palette };
  return given === photo ? picture : resizedPicture(picture, photo.width, photo.height, BICUBIC);
}

/** Resize a raw output to the photo's size and decide every pixel there, in bands of rows. */
function decided(record, output, photo, given) {
  const { input, answer } = KINDS[record.kind];
  const { width, height } = photo;
  const size = given.width * given.height;
  const planes = Array.from({ length: record.channels }, (_, channel) => output.subarray(channel * size, (channel + 1) * size));
  const rows = Math.max(1, Math.floor(BAND / (record.channels * width)));
  const parts = [];
  for (let top = 0; top < height; top += rows) {
    const bottom = Math.min(top + rows, height);
    const [from, to] = [top, bottom].map((row) => (row * given.height) / height);
    const band = new Float32Array(planes.length * width * (bottom - top));
    planes.forEach((plane, channel) => {
      const found = resizedPlane(plane, given.width, given.height, width, bottom - top, from, to);
      band.set(found, channel * found.length);
    });
    const pixels = { width, data: photo.data.subarray(3 * width * top, 3 * width * bottom) };
    parts.push(answer(record.settings, band, input(pixels, record.settings)));
  }
  const data = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  parts.reduce((at, part) => (data.set(part, at), at + part.length), 0);
  return { width, height, data };
}

const bytes = ({ buffer, byteOffset, length }) => new Uint8Array(buffer, byteOffset, length);
