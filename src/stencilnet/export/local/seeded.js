/** Weights drawn from a seed, bit-equal to `stencilnet.delta.seeded`. */

const MULTIPLIERS = [0xd2511f53, 0xcd9e8d57];
const WEYL = [0x9e3779b9, 0xbb67ae85];
const ROUNDS = 10;

/**
 * @param {Uint8Array} base The seed in 8 bytes and the bound as float32.
 * @param {number} count
 * @returns {Float32Array}
 */
export function drawn(base, count) {
  const view = new DataView(base.buffer, base.byteOffset);
  const bound = view.getFloat32(8, true);
  const words = philox(view.getUint32(0, true), view.getUint32(4, true), count);
  return Float32Array.from(words, (word) => (2 * (word >>> 8) + 1 - 2 ** 24) * 2 ** -24 * bound);
}

/** Philox4x32-10 (Salmon et al. 2011). */
function philox(low, high, count) {
  const words = new Uint32Array(Math.ceil(count / 4) * 4);
  for (let at = 0; at < words.length; at += 4) {
    let state = [at / 4, 0, 0, 0];
    let [first, second] = [low, high];
    for (let round = 0; round < ROUNDS; round++) {
      const [a, c] = [state[0], state[2]];
      state = [
        upper(c, MULTIPLIERS[1]) ^ state[1] ^ first,
        Math.imul(c, MULTIPLIERS[1]),
        upper(a, MULTIPLIERS[0]) ^ state[3] ^ second,
        Math.imul(a, MULTIPLIERS[0]),
      ].map((word) => word >>> 0);
      first = (first + WEYL[0]) >>> 0;
      second = (second + WEYL[1]) >>> 0;
    }
    words.set(state, at);
  }
  return words.subarray(0, count);
}

/** The upper 32 bits of a product of two numbers of 32 bits. */
function upper(one, other) {
  const [oneHigh, oneLow, otherHigh, otherLow] = [one >>> 16, one & 0xffff, other >>> 16, other & 0xffff];
  const middle = oneHigh * otherLow + Math.floor((oneLow * otherLow) / 65536);
  const carried = oneLow * otherHigh + (middle % 65536);
  return oneHigh * otherHigh + Math.floor(middle / 65536) + Math.floor(carried / 65536);
}
