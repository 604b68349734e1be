/**
 * What a new task can be taught from, and what is said of its teaching: plain data and pure functions.
 *
 * @typedef {object} Lesson As `/v1/teaching` tells it (docs/service.md).
 * @property {string} id
 * @property {string} name
 * @property {"collecting" | "running" | "done" | "failed" | "cancelled"} state
 * @property {string} doing
 * @property {string[]} notes
 * @property {number} step
 * @property {number} steps
 * @property {number | null} seconds_left
 * @property {{metric: string, higher_is_better: boolean, trivial: string, trivial_value: number | null, value: number | null} | null} measure
 * @property {number | null} samples
 * @property {string[]} columns
 * @property {boolean | null} better
 * @property {Config | null} config
 * @property {{message: string} | null} error
 *
 * @typedef {{file: string | null, problem: string, holds: string[], commands: string[]}} Config
 *
 * @typedef {{folder: string, title: string, hint: string, one?: boolean}} Folder
 * @typedef {{kind: string, title: string, about: string, folders: Folder[]}} Kind
 */

/** @type {Kind[]} */
export const KINDS = [
  {
    kind: "pairs",
    title: "Pairs",
    about: "Turn pictures into others, shown by pairs of the same name and size.",
    folders: [
      { folder: "before", title: "Before", hint: "Pictures as they are" },
      { folder: "after", title: "After", hint: "The same, as they should be" },
    ],
  },
  {
    kind: "labels",
    title: "Labels",
    about: "Label every pixel, as maps of the same names do: by class indices, or in black and white.",
    folders: [
      { folder: "images", title: "Photos", hint: "Photos to label" },
      { folder: "labels", title: "Label maps", hint: "PNG files of the same names" },
    ],
  },
  {
    kind: "style",
    title: "Style",
    about: "Repaint photos like one picture. It first learns what a style is, which takes a minute or two.",
    folders: [
      { folder: "painting", title: "Painting", hint: "The picture to paint like", one: true },
      { folder: "photos", title: "Photos", hint: "Any photos, to practise on" },
    ],
  },
  {
    kind: "restore",
    title: "Restore",
    about: "Undo a damage, which is made on clean photos.",
    folders: [{ folder: "photos", title: "Photos", hint: "Clean, sharp photos" }],
  },
];

const NAME = /^[a-z0-9][a-z0-9._-]{0,63}$/;
const FEWEST = 4;
/** Kinds whose pictures belong together by their names, whatever the suffix. */
const MATCHED = ["pairs", "labels"];

/**
 * What is missing to start, or an empty text.
 *
 * @param {{name: string, minutes: number, kind: Kind, files: Record<string, File[]>, known: string[]}} settings
 */
export function problemOf({ name, minutes, kind, files, known }) {
  if (!name) return "Give the task a name, such as retouch.";
  if (!NAME.test(name)) return "The name can have a-z, 0-9, “.”, “_” and “-”, and begins with a letter or digit.";
  if (known.includes(name)) return `There is a task ${name} already. Choose another name.`;
  for (const { folder, title, one } of kind.folders) {
    const { length } = files[folder] ?? [];
    if (one && length !== 1) return `${title}: choose one picture.`;
    if (!one && length < FEWEST) return `${title}: choose at least ${FEWEST} pictures. Some hundreds are better.`;
    const twice = repeatedOf(files[folder], MATCHED.includes(kind.kind));
    if (twice) return `${title}: several pictures are called ${twice}. Rename them, or choose their folder by the button.`;
  }
  const [first, second] = kind.folders.map(({ folder }) => files[folder].length);
  if (MATCHED.includes(kind.kind) && first !== second)
    return `There are ${first} pictures on the left and ${second} on the right. Choose the same pictures on both sides.`;
  if (!(minutes > 0)) return "Minutes: give a number above 0.";
  return "";
}

/** Files that may be pictures, as people list them. */
export const picturesOf = (files) => files.filter(({ type }) => type.startsWith("image/") && type !== "image/svg+xml");

/** The path of a file in the folder that was chosen, or its name. */
export const nameIn = (file) => file.webkitRelativePath?.replace(/^[^/]*\//, "") || file.name;

/** A name that more than one of the files have, as the service knows them, or an empty text. */
function repeatedOf(files, matched) {
  const names = files.map((file) => nameIn(file).normalize("NFC"));
  const known = matched ? names.map((name) => name.replace(/\.[^./]*$/, "")) : names;
  const seen = new Set();
  return known.find((name) => seen.size === seen.add(name).size) ?? "";
}

/** What is going on, in one line. */
export function statusOf({ state, doing, step, steps, seconds_left: left, error }) {
  if (state === "failed") return error.message;
  if (state === "cancelled") return "The teaching has been cancelled.";
  if (state === "done") return "The task has been learned, and is among the others.";
  if (state === "collecting") return "Sending the pictures";
  if (doing) return `${doing[0].toUpperCase()}${doing.slice(1)} …`;
  return `Step ${step} of ${steps}${left === null ? "" : ` · ${leftText(left)}`}`;
}

export function leftText(seconds) {
  if (seconds < 60) return "less than a minute left";
  const minutes = Math.round(seconds / 60);
  return minutes < 60 ? `about ${minutes} min left` : `about ${(minutes / 60).toFixed(1)} h left`;
}

export const shareOf = ({ step, steps }) => (steps ? step / steps : 0);

/** A metric's name as people read it. */
export const metricText = (metric) => metric.replaceAll("_", " ");

/** A value of a metric, short. */
export const valueText = (value) => (value === null ? "–" : String(Number(value.toPrecision(4))));

/** What is said of a task that is no better than the trivial answer. */
export const USELESS = "It has learned nothing useful. Teach it with more pictures, or for more minutes.";

/** How good the task is, in one sentence; empty before it has been measured. */
export function verdictOf({ measure, better }) {
  if (!measure || measure.value === null) return "";
  const { metric, higher_is_better: higher, trivial, trivial_value: base, value } = measure;
  const direction = `${higher ? "Higher" : "Lower"} is better.`;
  if (base === null) return `${metricText(metric)} ${valueText(value)}. ${direction}`;
  const beside = `${metricText(metric)} ${valueText(value)}; ${trivial} has ${valueText(base)}. ${direction}`;
  return better === false ? `${beside} ${USELESS}` : beside;
}

/** How to learn a task again by its config, in two sentences before the commands. */
export const refineText = ({ holds }) =>
  `Change the config, and put the pictures into one folder again, as ${holds.map((name) => `“${name}”`).join(" and ")}. Remove the task or change its name, and run, with your paths for CONFIG and FOLDER:`;

/** Where the config is. */
export const keptText = ({ file, problem }) => (file ? `The config is kept as ${file}.` : `The config is not kept on the server: ${problem}. Download it.`);
