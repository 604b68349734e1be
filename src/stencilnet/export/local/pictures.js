/** Files to pixels, and pixels to PNG files. */

import { crc32 } from "../zip.js";

/**
 * @typedef {object} Photo Upright, in sRGB, over white.
 * @property {number} width
 * @property {number} height
 * @property {Uint8Array} data RGB.
 * @property {Uint8Array | null} alpha Its opacity; null if it is opaque everywhere.
 *
 * @typedef {{width: number, height: number, data: Uint8Array, palette?: number[][]}} Picture RGB, or indices of a palette.
 */

/** @returns {Promise<Photo>} */
export async function readPhoto(blob) {
  const bitmap = await createImageBitmap(blob);
  const { width, height } = bitmap;
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const rgba = context.getImageData(0, 0, width, height).data;
  const data = new Uint8ClampedArray(width * height * 3);
  const alpha = new Uint8Array(width * height);
  for (let at = 0; at < alpha.length; at++) {
    alpha[at] = rgba[4 * at + 3];
    for (let channel = 0; channel < 3; channel++)
      data[3 * at + channel] = (rgba[4 * at + channel] * alpha[at]) / 255 + 255 - alpha[at];
  }
  return { width, height, data: new Uint8Array(data.buffer), alpha: alpha.every((each) => each === 255) ? null : alpha };
}

/**
 * Write a picture, and the opacity that its photo had.
 *
 * @param {Picture} picture
 * @param {Uint8Array | null} alpha
 * @returns {Promise<Blob>}
 */
export async function toPng({ width, height, data, palette }, alpha) {
  const opaque = palette || !alpha;
  const channels = palette ? 1 : opaque ? 3 : 4;
  const pixels = opaque ? data : withAlpha(data, alpha);
  const header = new Uint8Array(13);
  new DataView(header.buffer).setUint32(0, width);
  new DataView(header.buffer).setUint32(4, height);
  header.set([8, palette ? 3 : opaque ? 2 : 6], 8);
  const parts = [
    Uint8Array.of(137, 80, 78, 71, 13, 10, 26, 10),
    chunk("IHDR", header),
    chunk("sRGB", Uint8Array.of(0)),
    ...(palette ? [chunk("PLTE", Uint8Array.from(palette.flat()))] : []),
    chunk("IDAT", await deflated(filtered(pixels, width * channels, height, palette ? 0 : channels))),
    chunk("IEND", new Uint8Array()),
  ];
  return new Blob(parts, { type: "image/png" });
}

function withAlpha(data, alpha) {
  const pixels = new Uint8Array(alpha.length * 4);
  for (let at = 0; at < alpha.length; at++) {
    pixels.set(data.subarray(3 * at, 3 * at + 3), 4 * at);
    pixels[4 * at + 3] = alpha[at];
  }
  return pixels;
}

/** Rows, each behind its filter: "sub" for bytes so many places before, "none" for 0. */
function filtered(pixels, width, height, before) {
  const rows = new Uint8Array((width + 1) * height);
  for (let y = 0; y < height; y++) {
    const row = pixels.subarray(y * width, (y + 1) * width);
    rows[y * (width + 1)] = before ? 1 : 0;
    for (let x = 0; x < width; x++) rows[y * (width + 1) + 1 + x] = row[x] - (before && x >= before ? row[x - before] : 0);
  }
  return rows;
}

async function deflated(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new CompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

function chunk(name, data) {
  const bytes = new Uint8Array(12 + data.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, data.length);
  bytes.set(new TextEncoder().encode(name), 4);
  bytes.set(data, 8);
  view.setUint32(8 + data.length, crc32(bytes.subarray(4, 8 + data.length)));
  return bytes;
}
