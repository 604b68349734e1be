/** Safetensors files, and the weights of a backbone in every form in which a bundle stores them (docs/format.md). */

import { drawn } from "./seeded.js";

/** By their names in safetensors files: the arrays, and ONNX Runtime's names. */
const TYPES = {
  F32: [Float32Array, "float32"],
  F64: [Float64Array, "float64"],
  F16: [Uint16Array, "float16"],
  I64: [BigInt64Array, "int64"],
  I32: [Int32Array, "int32"],
  I8: [Int8Array, "int8"],
  U8: [Uint8Array, "uint8"],
  BOOL: [Uint8Array, "bool"],
};

/** @returns {string} ONNX Runtime's name of a tensor's type. */
export const typeOf = ({ type }) => TYPES[type][1];

/**
 * @typedef {{shape: number[], data: Float32Array | Float64Array | BigInt64Array | Int32Array | Int8Array | Uint8Array
 *   | Uint16Array, type: string}} Tensor
 *
 * @param {ArrayBuffer} buffer A safetensors file.
 * @returns {{tensors: Record<string, Tensor>, metadata: Record<string, string>}}
 */
export function readTensors(buffer) {
  const length = Number(new DataView(buffer).getBigUint64(0, true));
  const { __metadata__: metadata = {}, ...header } = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length)));
  const tensors = {};
  for (const [name, { dtype, shape, data_offsets: [start, end] }] of Object.entries(header)) {
    if (!(dtype in TYPES)) throw new Error(`${name} is ${dtype}, which browsers do not run.`);
    const data = new TYPES[dtype][0](buffer.slice(8 + length + start, 8 + length + end));
    tensors[name] = { shape, type: dtype, data };
  }
  return { tensors, metadata };
}

/** The weights that tensors represent that are stored in fewer bytes, as `stencilnet.delta.rounding.whole`. */
export function restored(tensors) {
  const weights = {};
  for (const [name, tensor] of Object.entries(tensors)) {
    if (name.endsWith(":scale") || name.endsWith(":shape")) continue;
    if (name.endsWith(":seed")) {
      const key = name.slice(0, -":seed".length);
      const shape = Array.from(tensors[`${key}:shape`].data, Number);
      weights[key] = { shape, type: "F32", data: drawn(tensor.data, sizeOf(shape)) };
    } else if (`${name}:scale` in tensors) weights[name] = scaled(tensor, tensors[`${name}:scale`]);
    else if (tensor.type === "F16") weights[name] = { ...tensor, type: "F32", data: Float32Array.from(tensor.data, single) };
    else weights[name] = tensor;
  }
  return weights;
}

export const sizeOf = (shape) => shape.reduce((size, side) => size * side, 1);

function scaled({ shape, data }, scale) {
  const each = data.length / shape[0];
  return { shape, type: "F32", data: Float32Array.from(data, (code, at) => code * scale.data[Math.floor(at / each)]) };
}

/** The number that 16 bits are as a float16. */
function single(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const part = bits & 1023;
  if (exponent === 0) return sign * part * 2 ** -24;
  if (exponent === 31) return part ? NaN : sign * Infinity;
  return sign * (1024 + part) * 2 ** (exponent - 25);
}
