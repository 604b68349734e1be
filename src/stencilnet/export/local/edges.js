/** Edge drawings of photos, as `stencilnet.kinds.edges` makes them, in float32 and in the same order of operations. */

const { fround } = Math;
const TAN_22_5 = fround(0.41421356);

/**
 * @param {Float32Array} gray In [0, 1].
 * @param {number} width
 * @returns {Uint8Array} 1 on lines one pixel wide.
 */
export function findEdges(gray, width, { sigma, low, high }) {
  const height = gray.length / width;
  const [slopesY, slopesX] = slopes(smoothed(gray, width, height, sigma), width, height);
  const contrast = slopesY.map((slope, at) => Math.sqrt(slope * slope + slopesX[at] * slopesX[at]));
  const crest = crests(contrast, slopesY, slopesX, width, height);
  const above = (least) => crest.map((is, at) => Number(is && contrast[at] >= fround(least)));
  return thinned(followed(above(low), above(high), width), width, height);
}

function smoothed(gray, width, height, sigma) {
  const radius = Math.trunc(4 * sigma + 0.5);
  const bell = Array.from({ length: 2 * radius + 1 }, (_, at) => Math.exp(-0.5 * ((at - radius) / sigma) ** 2));
  const sum = bell.reduce((one, other) => one + other, 0);
  const weights = Float32Array.from(bell, (weight) => weight / sum);
  const down = blurred(gray, weights, height, width, width, 1);
  return blurred(down, weights, width, height, 1, width);
}

/** Blur along an axis of so many places, `step` apart, in `lines` lines that are `stride` apart. */
function blurred(gray, weights, places, lines, step, stride) {
  const radius = (weights.length - 1) / 2;
  const smooth = new Float32Array(gray.length);
  for (let line = 0; line < lines; line++)
    for (let place = 0; place < places; place++) {
      let sum = 0;
      for (let tap = 0; tap < weights.length; tap++) {
        const from = Math.min(places - 1, Math.max(0, place + tap - radius));
        sum = fround(sum + fround(weights[tap] * gray[line * stride + from * step]));
      }
      smooth[line * stride + place * step] = sum;
    }
  return smooth;
}

/** Sobel gradients (down, right), divided by 4. */
function slopes(gray, width, height) {
  const at = (y, x) => gray[Math.min(height - 1, Math.max(0, y)) * width + Math.min(width - 1, Math.max(0, x))];
  const mean = (one, two, three) => fround(fround(fround(one + fround(2 * two)) + three) / 4);
  const across = (y, x) => mean(at(y, x - 1), at(y, x), at(y, x + 1));
  const down = (y, x) => mean(at(y - 1, x), at(y, x), at(y + 1, x));
  const [slopesY, slopesX] = [new Float32Array(gray.length), new Float32Array(gray.length)];
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      slopesY[y * width + x] = across(y + 1, x) - across(y - 1, x);
      slopesX[y * width + x] = down(y, x + 1) - down(y, x - 1);
    }
  return [slopesY, slopesX];
}

/** Only the maxima along the gradient, in four directions. */
function crests(contrast, slopesY, slopesX, width, height) {
  const crest = new Uint8Array(contrast.length);
  for (let y = 1; y < height - 1; y++)
    for (let x = 1; x < width - 1; x++) {
      const at = y * width + x;
      const [steepY, steepX] = [Math.abs(slopesY[at]), Math.abs(slopesX[at])];
      const falling = slopesY[at] > 0 === slopesX[at] > 0;
      let step = width + (falling ? 1 : -1);
      if (steepY <= fround(TAN_22_5 * steepX)) step = 1;
      else if (steepX <= fround(TAN_22_5 * steepY)) step = width;
      crest[at] = Number(contrast[at] > contrast[at + step] && contrast[at] >= contrast[at - step]);
    }
  return crest;
}

/** The weak pixels that are connected to a strong one. None of them lies on the outermost pixels. */
function followed(weak, strong, width) {
  const kept = new Uint8Array(weak.length);
  const front = [];
  const reach = (at) => {
    if (kept[at]) return;
    kept[at] = 1;
    front.push(at);
  };
  strong.forEach((is, at) => is && reach(at));
  const steps = [-1, 0, 1].flatMap((down) => [-1, 0, 1].map((right) => down * width + right));
  while (front.length) {
    const at = front.pop();
    for (const step of steps) if (weak[at + step]) reach(at + step);
  }
  return kept;
}

/** Lines of one pixel (Guo and Hall 1989, algorithm A1). The outermost pixels are empty. */
function thinned(lines, width, height) {
  for (;;) {
    let removed = 0;
    for (const first of [true, false]) {
      const gone = [];
      for (let y = 1; y < height - 1; y++)
        for (let x = 1; x < width - 1; x++) {
          const at = y * width + x;
          if (lines[at] && removable(lines, at, width, first)) gone.push(at);
        }
      for (const at of gone) lines[at] = 0;
      removed += gone.length;
    }
    if (!removed) return lines;
  }
}

function removable(lines, at, width, first) {
  const [n, e, s, w] = [lines[at - width], lines[at + 1], lines[at + width], lines[at - 1]];
  const [ne, se, sw, nw] = [lines[at - width + 1], lines[at + width + 1], lines[at + width - 1], lines[at - width - 1]];
  const crossings = (!n && (ne | e)) + (!e && (se | s)) + (!s && (sw | w)) + (!w && (nw | n));
  const neighbours = Math.min((nw | n) + (ne | e) + (se | s) + (sw | w), (n | ne) + (e | se) + (s | sw) + (w | nw));
  const side = first ? (n | ne | Number(!se)) & e : (s | sw | Number(!nw)) & w;
  return crossings === 1 && (neighbours === 2 || neighbours === 3) && !side;
}
