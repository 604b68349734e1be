/** Decoders of entropy-coded bits and integers: the formats of `stencilnet.delta.coding`, `integers` and `rans`. */

const TOTAL = 65536;
const SYMBOLS = 256;
const SKIP = SYMBOLS - 1;

/**
 * @param {Uint8Array} code
 * @param {number} count How many bits.
 * @returns {Uint8Array} Packed bits, the lowest first.
 */
export function decodedBits(code, count) {
  const words = wordsOf(code);
  const [chance, lanes] = words;
  const symbols = decoded(words, 4, lanes, geometric(chance * 2 <= TOTAL ? chance : TOTAL - chance), words[2] + words[3] * TOTAL);
  const rarer = chance * 2 <= TOTAL;
  const bits = new Uint8Array(Math.ceil(count / 8));
  let at = 0;
  for (const symbol of symbols) {
    at += symbol;
    if (symbol === SKIP) continue;
    if (at < count) bits[at >> 3] |= 1 << (at & 7);
    at += 1;
  }
  check(at === count + 1);
  if (rarer) return bits;
  const turned = bits.map((byte) => ~byte);
  if (count % 8) turned[turned.length - 1] &= (1 << count % 8) - 1;
  return turned;
}

/** @returns {Int8Array} */
export function decodedIntegers(code, count) {
  const words = wordsOf(code);
  const [largest, lanes] = words;
  const shares = Array.from(words.subarray(2, 2 + 2 * largest));
  const left = TOTAL - shares.reduce((sum, share) => sum + share, 0);
  check(left > 0);
  const starts = [0];
  for (const share of [...shares.slice(0, largest), left, ...shares.slice(largest)]) starts.push(starts.at(-1) + share);
  return Int8Array.from(decoded(words, 2 + 2 * largest, lanes, starts, count), (symbol) => symbol - largest);
}

function wordsOf(code) {
  check(code.length % 2 === 0);
  return new Uint16Array(code.slice().buffer);
}

/** Where each symbol's share starts if symbol g stands for g failures and a success. */
function geometric(rate) {
  let left = 2 ** 32;
  const starts = [];
  for (let symbol = 0; symbol < SYMBOLS; symbol++) {
    starts.push(symbol + Math.floor(((2 ** 32 - left) * (TOTAL - SYMBOLS)) / 2 ** 32));
    left = Math.floor((left * (TOTAL - rate)) / TOTAL);
  }
  return [...starts, TOTAL];
}

/** Static rANS of many lanes (Duda 2013). The states start at the word `at`, and the stream follows them. */
function decoded(words, at, lanes, starts, count) {
  check(lanes >= 1 && lanes <= count && words.length >= at + 2 * lanes);
  const symbolOf = new Uint8Array(TOTAL);
  for (let symbol = 0; symbol + 1 < starts.length; symbol++) symbolOf.fill(symbol, starts[symbol], starts[symbol + 1]);
  const states = new Uint32Array(lanes);
  for (let lane = 0; lane < lanes; lane++) states[lane] = words[at + 2 * lane] + words[at + 2 * lane + 1] * TOTAL;
  const symbols = new Uint8Array(count);
  let next = at + 2 * lanes;
  for (let place = 0; place < count; place++) {
    const lane = place % lanes;
    const slot = states[lane] & 0xffff;
    const symbol = symbolOf[slot];
    let state = (starts[symbol + 1] - starts[symbol]) * (states[lane] >>> 16) + slot - starts[symbol];
    if (state < TOTAL) state = state * TOTAL + words[next++];
    states[lane] = state;
    symbols[place] = symbol;
  }
  check(next === words.length && states.every((state) => state === TOTAL));
  return symbols;
}

function check(fits) {
  if (!fits) throw new Error("The task's file is damaged: its code words do not decode.");
}
