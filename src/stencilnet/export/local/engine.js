/** A site's tasks: read, checked, and run by onnxruntime-web. */

import { answered, seen, seenWhole, trainedSide } from "./answering.js";
import { readTasks } from "./archive.js";
import { applied } from "./delta.js";
import { KINDS } from "./kinds.js";
import { readPhoto, toPng } from "./pictures.js";
import { readTensors, restored, typeOf } from "./tensors.js";

/** Tasks whose weights are kept, the least recently used last. */
const ACTIVE = 8;
const MOST_THREADS = 8;

/** @param {string} base The site's address. */
export async function openSite(base) {
  const at = (path) => new URL(path, base);
  const site = await json(at("site.json"));
  /** @type {Map<string, {record: object, bytes: number, delta: () => Promise<ArrayBuffer>}>} */
  const tasks = new Map();
  let network = once(() => openNetwork(at, true));
  const shared = once(async () => {
    const file = await checked(await buffer(at("bundle/model.safetensors")), site.backbone);
    const { tensors } = readTensors(file);
    return site.stored === "float32" ? tensors : restored(tensors);
  });
  /** @type {Map<object, Record<string, import("./tensors.js").Tensor>>} */
  const active = new Map();
  await Promise.all(Object.keys(site.tasks).map(async (name) => tasks.set(name, null).set(name, await shipped(name))));

  async function shipped(name) {
    const folder = `bundle/tasks/${encodeURIComponent(name)}/`;
    const record = await json(at(`${folder}task.json`));
    return { record, bytes: site.tasks[name], delta: () => buffer(at(folder + record.delta.file)) };
  }

  /** A task's weights: its delta is read at its first use. */
  async function weightsOf(name) {
    const task = tasks.get(name);
    const { delta, record } = task;
    const weights = active.get(task) ?? applied(await checked(await delta(), record.delta.sha256), await shared(), site.head);
    active.delete(task);
    active.set(task, weights);
    if (active.size > ACTIVE) active.delete(active.keys().next().value);
    return weights;
  }

  /** Refuse a task that does not run here. */
  async function checkTask(name, record, delta) {
    if (record.backbone !== site.backbone)
      throw new Error(`Its task ${name} was learned over another backbone than this site's.`);
    if (tasks.has(name) && tasks.get(name).record.delta.sha256 !== record.delta.sha256)
      throw new Error(`Another task is called ${name} here.`);
    if (!(record.kind in KINDS))
      throw new Error(`Its task ${name} is of the kind ${record.kind}, which browsers do not run.`);
    if (record.columns)
      throw new Error(`Its task ${name} runs through the columns of others, which browsers do not run.`);
    await checked(delta, record.delta.sha256, `Its task ${name} is damaged. Get the archive again.`);
  }

  async function outputOf(name, input, width, height) {
    const { ort, session, provider } = await network();
    const weights = await weightsOf(name);
    const feeds = { image: new ort.Tensor("float32", input, [1, 3, height, width]) };
    for (const key of session.inputNames)
      if (key !== "image") feeds[key] = new ort.Tensor(typeOf(weights[key]), weights[key].data, weights[key].shape);
    try {
      return (await session.run(feeds)).output.data;
    } catch (cause) {
      if (provider === "webgpu") {
        network = once(() => openNetwork(at, false));
        return outputOf(name, input, width, height);
      }
      const picture = `The network's picture of ${width}x${height} pixels`;
      if (/dimension|shape/i.test(cause?.message))
        throw new Error(`${picture} does not fit its layers. Crop the photo, for example to multiples of 32.`);
      const error = new Error(`${picture} does not fit in this browser's memory.`);
      throw Object.assign(error, { broken: true }); // what runs out of memory cannot go on
    }
  }

  const list = () => ({
    name: site.name,
    bytes: site.bytes,
    tasks: [...tasks].map(([name, { record, bytes }]) => describe(site, name, record, bytes)),
    damaged: [],
  });

  return {
    weightsOf,
    list,

    /** Load the network and its weights before they are needed. */
    async load() {
      await Promise.all([network(), shared()]);
    },

    /** Install the tasks of an archive until the page is left: all of them, or none. */
    async install(blob) {
      const found = readTasks(await blob.arrayBuffer());
      for (const { name, record, delta } of found) {
        await checkTask(name, record, delta);
        applied(delta, await shared(), site.head);
      }
      for (const { name, record, delta } of found) {
        const bytes = delta.byteLength + JSON.stringify(record).length;
        tasks.set(name, { record, bytes, delta: async () => delta });
      }
      return list();
    },

    /** @returns {Promise<Blob>} A PNG file; or the labels of the whole picture, as the service over HTTP gives them. */
    async run(blob, name, drawing) {
      const { record } = tasks.get(name);
      const { scaling, former } = site.kinds[record.kind];
      const photo = await readPhoto(blob);
      const kind = KINDS[record.kind];
      const given = kind.labels ? seenWhole(photo, record, former) : seen(photo, trainedSide(scaling, record));
      const input = (drawing ? kind.drawing : kind.input)(given, record.settings);
      const output = await outputOf(name, input, given.width, given.height);
      if (kind.labels) {
        const labels = kind.labels(record.settings, output);
        return new Blob([JSON.stringify({ labels })], { type: "application/json" });
      }
      return toPng(answered(record, scaling, output, photo, given, input), photo.alpha);
    },
  };
}

/** A session by WebGPU where there is one, else by WebAssembly. */
async function openNetwork(at, isGpuAllowed) {
  const adapter = isGpuAllowed ? await navigator.gpu?.requestAdapter().catch(() => null) : null;
  if (adapter && !adapter.info?.isFallbackAdapter) // a processor that plays a GPU is slower than WebAssembly
    try {
      return await opened(at, "webgpu");
    } catch (error) {
      console.info("Tasks run by WebAssembly, since WebGPU does not work here:", error);
    }
  return opened(at, "wasm");
}

/** @param {"wasm" | "webgpu"} provider */
async function opened(at, provider) {
  const ort = await import(at(`runtime/ort.${provider}.min.mjs`).href);
  ort.env.wasm.wasmPaths = at("runtime/").href;
  ort.env.wasm.numThreads = self.crossOriginIsolated ? Math.min(MOST_THREADS, navigator.hardwareConcurrency) : 1;
  const session = await ort.InferenceSession.create(await buffer(at("network.onnx")), {
    executionProviders: [provider],
    enableCpuMemArena: false, // it would grow with every new size
    enableMemPattern: false,
    logSeverityLevel: 3, // by WebGPU, that nodes of shapes run elsewhere is no warning
  });
  return { ort, session, provider };
}

/** A task as `GET /v1/tasks` of a server lists it. */
function describe(site, name, { kind, settings }, bytes) {
  const { category } = site.kinds[kind];
  const { drawing, palette, labels } = KINDS[kind];
  const colours = palette?.(settings);
  const classes = labels || colours ? settings.classes : [];
  return {
    name,
    title: capitalized(name.replaceAll(/[-_]/g, " ")),
    category,
    bytes,
    input: drawing ? ["photo", "edges"] : ["photo"],
    answer: {
      type: labels ? "labels" : colours ? "label_map" : "picture",
      classes: classes.map((each, place) => ({ name: each, colour: colours?.[place] ?? null })),
    },
  };
}

const capitalized = (text) => text[0].toUpperCase() + text.slice(1).toLowerCase();

/** Bytes whose hash is as it should be. Browsers compute hashes on encrypted connections and on this machine alone. */
async function checked(data, sha256, fault = "A file of this site is damaged. Reload the page, or ask whoever put it here.") {
  if (!crypto.subtle) throw new Error("Open this page by https, so that the browser can check what it has downloaded.");
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", data));
  const found = Array.from(hash, (byte) => byte.toString(16).padStart(2, "0"));
  if (found.join("") !== sha256) throw new Error(fault);
  return data;
}

const buffer = async (url) => (await reached(url)).arrayBuffer();
const json = async (url) => (await reached(url)).json();

async function reached(url) {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`The site lacks ${url.pathname} (status ${answer.status}). Ask whoever put it here.`);
  return answer;
}

/** Make a value at its first use; after a failure, again. */
function once(make) {
  let made = null;
  return () => {
    made ??= make().catch((error) => {
      made = null;
      throw error;
    });
    return made;
  };
}
