/** Tasks in ZIP archives, as `stencil pack` writes them: stored, not compressed. */

const [ENTRY, END] = [0x02014b50, 0x06054b50];
const END_BYTES = 22;

/**
 * @param {ArrayBuffer} buffer
 * @returns {{name: string, record: object, delta: ArrayBuffer}[]} The tasks: folders with a `task.json`.
 */
export function readTasks(buffer) {
  const files = entries(buffer);
  const records = [...files.keys()].filter((path) => /^[a-z0-9][a-z0-9._-]{0,63}\/task\.json$/.test(path));
  const names = records.map((path) => path.split("/")[0]);
  if (!names.length) throw new Error("It holds no task. `stencil pack BUNDLE TASK -o task.zip` writes one.");
  return names.map((name) => {
    const record = JSON.parse(new TextDecoder().decode(files.get(`${name}/task.json`)));
    const delta = files.get(`${name}/${record.delta?.file}`);
    if (record.format !== "stencilnet task" || !delta) throw new Error(`Its task ${name} is damaged, or of another version.`);
    return { name, record, delta };
  });
}

/** The archive's files by path. */
function entries(buffer) {
  const view = new DataView(buffer);
  let end = buffer.byteLength - END_BYTES;
  while (end >= 0 && view.getUint32(end, true) !== END) end -= 1;
  if (end < 0) throw new Error("It is no ZIP archive, or only a part of one.");
  const found = new Map();
  let at = view.getUint32(end + 16, true);
  for (let left = view.getUint16(end + 10, true); left > 0; left--) {
    if (view.getUint32(at, true) !== ENTRY) throw new Error("It is a damaged ZIP archive.");
    const [method, size] = [view.getUint16(at + 10, true), view.getUint32(at + 24, true)];
    const [title, extra, comment] = [28, 30, 32].map((place) => view.getUint16(at + place, true));
    const name = new TextDecoder().decode(new Uint8Array(buffer, at + 46, title));
    if (method !== 0) throw new Error("It is compressed. Take the archive as `stencil pack` writes it.");
    const local = view.getUint32(at + 42, true);
    const start = local + 30 + view.getUint16(local + 26, true) + view.getUint16(local + 28, true);
    found.set(name, buffer.slice(start, start + size));
    at += 46 + title + extra + comment;
  }
  return found;
}
