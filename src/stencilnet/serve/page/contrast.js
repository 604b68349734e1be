/** Label maps hold class indices, so most are nearly black: how much brighter a small picture of one has to be. */

const SIDE = 64;
/** Pictures whose brightest channel reaches this are shown as they are. */
const BRIGHT = 128;
/** What stands for no class; it stays white. */
const VOID = 255;

/**
 * @param {Blob} file
 * @returns {Promise<number>} A factor, 1 for a picture that can be seen or cannot be read.
 */
export async function contrastOf(file) {
  try {
    const size = { resizeWidth: SIDE, resizeHeight: SIDE, resizeQuality: "pixelated" };
    const bitmap = await createImageBitmap(file, size);
    const context = new OffscreenCanvas(SIDE, SIDE).getContext("2d");
    context.drawImage(bitmap, 0, 0);
    const levels = context.getImageData(0, 0, SIDE, SIDE).data.filter((level, index) => index % 4 < 3 && level < VOID);
    const most = levels.reduce((a, b) => Math.max(a, b), 0);
    return most && most < BRIGHT ? VOID / most : 1;
  } catch {
    return 1;
  }
}
