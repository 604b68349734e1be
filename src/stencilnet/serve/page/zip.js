/**
 * ZIP files, stored: pictures are compressed already.
 *
 * Names are UTF-8 (bit 11 of the flags). Sizes are 32 bits, so a file ends before 4 GB.
 */

const TABLE = Uint32Array.from({ length: 256 }, (_, value) => {
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value;
});

export function crc32(bytes) {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = TABLE[(crc ^ byte) & 0xff] ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

/** Version 2.0, UTF-8 names, stored, 1980-01-01: the same files give the same bytes. */
const common = (crc, size, name) => [2, 20, 2, 0x0800, 2, 0, 2, 0, 2, 0x21, 4, crc, 4, size, 4, size, 2, name.length, 2, 0];

/** Little-endian integers, from pairs of a width in bytes and a value. */
function packed(...fields) {
  const bytes = [];
  for (let at = 0; at < fields.length; at += 2)
    for (let byte = 0; byte < fields[at]; byte++) bytes.push(Math.floor(fields[at + 1] / 2 ** (8 * byte)) & 0xff);
  return new Uint8Array(bytes);
}

/**
 * @param {{name: string, blob: Blob}[]} files Names are unique.
 * @returns {Promise<Blob>}
 */
export async function zipped(files) {
  const parts = [];
  const directory = [];
  let offset = 0;
  for (const { name, blob } of files) {
    const title = new TextEncoder().encode(name);
    const fields = common(crc32(new Uint8Array(await blob.arrayBuffer())), blob.size, title);
    const header = packed(4, 0x04034b50, ...fields);
    parts.push(header, title, blob);
    directory.push(packed(4, 0x02014b50, 2, 20, ...fields, 2, 0, 2, 0, 2, 0, 4, 0, 4, offset), title);
    offset += header.length + title.length + blob.size;
  }
  const length = directory.reduce((sum, part) => sum + part.length, 0);
  const count = files.length;
  const end = packed(4, 0x06054b50, 2, 0, 2, 0, 2, count, 2, count, 4, length, 4, offset, 2, 0);
  return new Blob([...parts, ...directory, end], { type: "application/zip" });
}
