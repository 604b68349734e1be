/** A task's weights from its delta and the shared ones, bit-equal to `stencilnet.delta`: float32 at every step. */

import { decodedBits, decodedIntegers } from "./coding.js";
import { drawn } from "./seeded.js";
import { readTensors, sizeOf } from "./tensors.js";

const { fround } = Math;

/**
 * What each kind of entry does to a weight.
 *
 * `weight` is the shared one as Float32Array, `parts` the stored tensors, with bits packed.
 */
const APPLY = {
  replace: (_, { tensor }) => tensor.data,
  select: (weight, { bits }) => selected(weight, bits),
  quantized: (weight, { code }) => moved(weight, code),
  seeded: (weight, { base, code }) => moved(drawn(base.data, weight.length), code),
  ternary: (weight, { keep, flip }) => selected(weight.map((value, at) => (bit(flip, at) ? -value : value)), keep),
  sign(weight, { bits, scale }) {
    const step = along(scale, bits.shape);
    return weight.map((value, at) => value + (bit(bits, at) ? step(at) : -step(at)));
  },
  affine(weight, { bits, k: { data: k } }) {
    const kept = selected(weight, bits);
    return weight.map((value, at) => {
      const mixed = fround(fround(fround(k[0] * value) + k[1]) + fround(k[2] * bit(bits, at)));
      return mixed + fround(k[3] * kept[at]);
    });
  },
};

/** Kinds that compute nothing, so that weights may have any type. */
const AS_STORED = ["replace", "select"];
const PLANES = { select: ["bits"], sign: ["bits"], affine: ["bits"], ternary: ["keep", "flip"] };

const bit = ({ data }, at) => (data[at >> 3] >> (at & 7)) & 1;
const selected = (weight, bits) => weight.map((value, at) => (bit(bits, at) ? value : 0));

/** Step and codes are one part, entropy-coded. */
function moved(weight, { data }) {
  const step = new DataView(data.buffer, data.byteOffset).getFloat32(0, true);
  const codes = decodedIntegers(data.subarray(4), weight.length);
  return weight.map((value, at) => value + fround(step * codes[at]));
}

/** The step of a weight's place; steps differ along one dimension at most. */
function along(scale, shape) {
  const wide = scale.shape.findIndex((side) => side !== 1);
  if (wide < 0) return () => scale.data[0];
  const each = sizeOf(shape.slice(wide + 1));
  return (at) => scale.data[Math.floor(at / each) % shape[wide]];
}

/**
 * @param {ArrayBuffer} file A delta's file.
 * @param {Record<string, import("./tensors.js").Tensor>} shared
 * @param {Record<string, number[]>} head Shapes of the head's tensors without the output channels.
 * @returns {Record<string, import("./tensors.js").Tensor>} The task's full weights.
 */
export function applied(file, shared, head) {
  const { tensors, metadata } = readTensors(file);
  const { format, version, entries } = JSON.parse(metadata.stencilnet ?? "{}");
  if (format !== "stencilnet delta" || version !== 1) throw new Error("The task is of a version that this page does not know.");
  const weights = { ...shared };
  for (const { key, kind, coding, shape } of entries) {
    const given = shared[key];
    if (!(kind in APPLY)) throw new Error(`The task's ${key} is of the kind ${kind}, which this page does not know.`);
    const wanted = key in head ? [shape[0], ...head[key]] : given?.shape;
    if (String(shape) !== String(wanted) || (!given && kind !== "replace"))
      throw new Error(`The task's ${key} does not fit the backbone.`);
    if (!AS_STORED.includes(kind) && given.type !== "F32")
      throw new Error(`The task's ${key} is computed in ${given.type}, which browsers do not.`);
    const data = APPLY[kind](given?.data, partsOf(tensors, key, kind, coding, shape));
    if (data.length !== sizeOf(shape)) throw new Error(`The task's ${key} does not have its shape.`);
    weights[key] = { shape, type: given?.type ?? tensors[`${key}:tensor`].type, data };
  }
  const missing = Object.keys(head).filter((key) => !(key in weights));
  if (missing.length) throw new Error(`The task lacks ${missing.join(", ")}.`);
  return weights;
}

/** An entry's parts by name, with the entropy-coded ones decoded. */
function partsOf(tensors, key, kind, coding, shape) {
  const parts = {};
  for (const [name, tensor] of Object.entries(tensors))
    if (name.startsWith(`${key}:`)) parts[name.slice(key.length + 1)] = tensor;
  for (const plane of PLANES[kind] ?? []) {
    const code = parts[plane === "bits" ? "code" : `${plane}_code`];
    if (coding === "entropy" && code) parts[plane] = { type: "U8", data: decodedBits(code.data, sizeOf(shape)) };
    parts[plane] = { ...parts[plane], shape };
  }
  return parts;
}
