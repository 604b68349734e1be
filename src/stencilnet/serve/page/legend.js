/** How much of a label map each class covers. */

/** Pixels of the longer side that are counted: shares need no more. */
const COUNTED = 512;

/**
 * @param {Blob} blob The label map, in its classes' colours.
 * @param {{colour: number[]}[]} classes
 * @returns {Promise<number[]>} The share of each class, 0 to 1.
 */
export async function sharesOf(blob, classes) {
  const bitmap = await createImageBitmap(blob);
  const ratio = Math.min(1, COUNTED / Math.max(bitmap.width, bitmap.height));
  const width = Math.max(1, Math.round(bitmap.width * ratio));
  const height = Math.max(1, Math.round(bitmap.height * ratio));
  const context = new OffscreenCanvas(width, height).getContext("2d");
  context.imageSmoothingEnabled = false; // blends of two colours would be no class, or another one
  context.drawImage(bitmap, 0, 0, width, height);
  bitmap.close();
  return countedShares(context.getImageData(0, 0, width, height).data, classes);
}

/**
 * @param {Uint8ClampedArray} pixels RGBA.
 * @param {{colour: number[]}[]} classes
 */
export function countedShares(pixels, classes) {
  const counts = new Map(classes.map(({ colour }) => [packed(...colour), 0]));
  for (let at = 0; at < pixels.length; at += 4) {
    const colour = packed(pixels[at], pixels[at + 1], pixels[at + 2]);
    if (counts.has(colour)) counts.set(colour, counts.get(colour) + 1);
  }
  return classes.map(({ colour }) => counts.get(packed(...colour)) / (pixels.length / 4));
}

const packed = (red, green, blue) => (red << 16) | (green << 8) | blue;
