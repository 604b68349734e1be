/** Antialiased resizing, as Pillow does it: pictures in fixed point with equal bytes, planes of floats in float32. */

const BITS = 22;

export const BILINEAR = { support: 1, at: (x) => Math.max(0, 1 - Math.abs(x)) };
export const BICUBIC = { support: 2, at: cubic };

function cubic(place) {
  const x = Math.abs(place);
  if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
  return x < 2 ? -0.5 * (((x - 5) * x + 8) * x - 4) : 0;
}

/**
 * @param {{width: number, height: number, data: Uint8Array}} picture RGB.
 * @returns {{width: number, height: number, data: Uint8Array}}
 */
export function resizedPicture({ width, height, data }, wide, high, filter) {
  const across = taps(width, 0, width, wide, filter).map(fixed);
  const down = taps(height, 0, height, high, filter).map(fixed);
  const level = (sum) => (sum + 2 ** (BITS - 1)) / 2 ** BITS;
  const rows = new Uint8ClampedArray(wide * height * 3);
  const pixels = new Uint8ClampedArray(wide * high * 3);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < wide; x++)
      for (let channel = 0; channel < 3; channel++)
        rows[(y * wide + x) * 3 + channel] = Math.floor(level(summed(data, across[x], y * width * 3 + channel, 3)));
  for (let y = 0; y < high; y++)
    for (let at = 0; at < wide * 3; at++)
      pixels[y * wide * 3 + at] = Math.floor(level(summed(rows, down[y], at, wide * 3)));
  return { width: wide, height: high, data: new Uint8Array(pixels.buffer) };
}

/** Resize rows `top` to `bottom` (fractions count) of a plane of floats bilinearly. */
export function resizedPlane(plane, width, height, wide, high, top, bottom) {
  const across = taps(width, 0, width, wide, BILINEAR);
  const down = taps(height, top, bottom, high, BILINEAR);
  const first = down[0].first;
  const last = down[high - 1].first + down[high - 1].weights.length;
  const rows = new Float32Array((last - first) * wide);
  for (let y = first; y < last; y++)
    for (let x = 0; x < wide; x++) rows[(y - first) * wide + x] = summed(plane, across[x], y * width, 1);
  const found = new Float32Array(wide * high);
  for (let y = 0; y < high; y++)
    for (let x = 0; x < wide; x++) found[y * wide + x] = summed(rows, down[y], x - first * wide, wide);
  return found;
}

function summed(data, { first, weights }, start, step) {
  let sum = 0;
  for (let tap = 0, at = start + first * step; tap < weights.length; tap++, at += step) sum += data[at] * weights[tap];
  return sum;
}

/** What each place of an axis is a weighted mean of: the places from `first` on. */
function taps(size, from, to, count, { support, at }) {
  const scale = (to - from) / count;
  const stretch = Math.max(scale, 1);
  return Array.from({ length: count }, (_, place) => {
    const centre = from + (place + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - support * stretch + 0.5));
    const end = Math.min(size, Math.trunc(centre + support * stretch + 0.5));
    const weights = Array.from({ length: end - first }, (_, tap) => at((tap + first - centre + 0.5) / stretch));
    const sum = weights.reduce((one, other) => one + other, 0);
    return { first, weights: Float64Array.from(weights, (weight) => weight / sum) };
  });
}

const fixed = ({ first, weights }) => ({
  first,
  weights: weights.map((weight) => Math.trunc(weight * 2 ** BITS + (weight < 0 ? -0.5 : 0.5))),
});
