/**
 * Task kinds: a photo to the network's input, and its output to a picture, as `stencilnet.kinds` does in float32.
 *
 * `input` takes a picture and the task's settings; `drawing`, a picture that is a drawing already. `answer` makes the
 * levels of a picture of an output, and `labels` labels of the whole.
 * Inputs and outputs are planes, `(C, H, W)`; pixels are RGB, `(H, W, 3)`. Numbers become levels by being stored in a
 * Uint8ClampedArray, which rounds to even and clamps.
 */

import { findEdges } from "./edges.js";

const { fround } = Math;
const UNIT = Float32Array.from({ length: 256 }, (_, level) => level / 255);

export const KINDS = {
  segmentation: { input: rgb, answer: classes, palette: (settings) => coloured(settings) },
  colorization: { input: gray, answer: chroma },
  edges2photo: { input: drawing, drawing: gray, answer: shaded((value) => (Math.tanh(value) + 1) / 2) },
  style: { input: rgb, answer: shaded((value) => (Math.tanh(value / 2) + 1) / 2) },
  restoration: {
    input: rgb,
    answer: ({ residual }, output, input) =>
      shaded(residual ? (value, at) => input[at] + 0.1 * value : (value) => value)({}, output),
  },
  depth: { input: rgb, answer: nearness },
  normals: { input: rgb, answer: orientations },
  classification: { input: rgb, labels },
};

function rgb({ data }) {
  const size = data.length / 3;
  const planes = new Float32Array(data.length);
  for (let at = 0; at < size; at++)
    for (let channel = 0; channel < 3; channel++) planes[channel * size + at] = UNIT[data[3 * at + channel]];
  return planes;
}

function gray({ data }) {
  const y = luma(data);
  const planes = new Float32Array(data.length);
  for (let channel = 0; channel < 3; channel++) planes.set(y, channel * y.length);
  return planes;
}

/** 0 on lines, 1 elsewhere. */
function drawing({ data, width }, { edge_sigma: sigma = 1.4, edge_low: low = 0.05, edge_high: high = 0.1 }) {
  const lines = findEdges(luma(data), width, { sigma, low, high });
  const planes = new Float32Array(data.length);
  for (let at = 0; at < planes.length; at++) planes[at] = 1 - lines[at % lines.length];
  return planes;
}

/** Full-range BT.601. */
function luma(data) {
  const [red, green, blue] = [0.299, 0.587, 0.114].map(fround);
  return Float32Array.from({ length: data.length / 3 }, (_, at) => {
    const sum = fround(fround(red * UNIT[data[3 * at]]) + fround(green * UNIT[data[3 * at + 1]]));
    return Math.min(1, sum + fround(blue * UNIT[data[3 * at + 2]]));
  });
}

/** The answer whose levels are a function of each value of the output. */
function shaded(shade) {
  return (_, output) => {
    const size = output.length / 3;
    const levels = new Uint8ClampedArray(output.length);
    for (let channel = 0; channel < 3; channel++)
      for (let at = 0; at < size; at++) levels[3 * at + channel] = 255 * shade(output[channel * size + at], channel * size + at);
    return levels;
  };
}

function classes(settings, output) {
  const count = settings.classes.length;
  const size = output.length / count;
  const best = new Uint8ClampedArray(size);
  for (let at = 0; at < size; at++)
    for (let each = 1; each < count; each++) if (output[each * size + at] > output[best[at] * size + at]) best[at] = each;
  return best;
}

/** Colours of classes; PASCAL VOC's where a task has none. */
const coloured = ({ classes: names, palette }) => (palette?.length ? palette : names.map((_, index) => vocColour(index)));

function vocColour(index) {
  const levels = [0, 0, 0];
  for (let bit = 0; bit < 8; bit++) levels[bit % 3] |= ((index >> bit) & 1) << (7 - Math.floor(bit / 3));
  return levels;
}

function chroma(_, output, input) {
  const size = output.length / 2;
  const levels = new Uint8ClampedArray(3 * size);
  for (let at = 0; at < size; at++) {
    const [y, cb, cr] = [255 * input[at], 128 * output[at], 128 * output[size + at]];
    levels[3 * at] = y + 1.402 * cr;
    levels[3 * at + 1] = y - 0.344136 * cb - 0.714136 * cr;
    levels[3 * at + 2] = y + 1.772 * cb;
  }
  return levels;
}

function nearness(_, output) {
  const levels = new Uint8ClampedArray(3 * output.length);
  for (let at = 0; at < output.length; at++) levels.fill(255 * Math.min(1, Math.max(0, output[at])), 3 * at, 3 * at + 3);
  return levels;
}

/** Vectors shorter than a half mean that there is no surface. */
function orientations(_, output) {
  const size = output.length / 3;
  const levels = new Uint8ClampedArray(output.length);
  for (let at = 0; at < size; at++) {
    const vector = [output[at], output[size + at], output[2 * size + at]];
    const length = Math.hypot(...vector);
    vector.forEach((value, axis) => {
      levels[3 * at + axis] = 255 * ((length >= 0.5 ? value / length : 0) + 1) / 2;
    });
  }
  return levels;
}

/** Every class with its probability, the most probable first. */
function labels({ classes: names }, output) {
  const largest = output.reduce((most, value) => Math.max(most, value));
  const shares = output.map((value) => Math.exp(value - largest));
  const sum = shares.reduce((total, share) => total + share);
  return names
    .map((label, at) => ({ label, probability: fround(shares[at] / sum) }))
    .sort((one, other) => other.probability - one.probability);
}
