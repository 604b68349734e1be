/**
 * The page's state and what can happen to it: plain data and pure functions.
 *
 * @typedef {object} Task As `GET /v1/tasks` lists it.
 * @property {string} name
 * @property {string} title
 * @property {string} category
 * @property {string[]} input
 * @property {number} bytes
 * @property {{type: "picture" | "label_map" | "labels", classes: {name: string, colour: number[] | null}[]}} answer
 *
 * @typedef {{name: string, bytes: number, tasks: Task[], damaged: {name: string, message: string}[], teaching?: boolean}} Bundle
 *
 * @typedef {object} Photo
 * @property {number} id
 * @property {string} name The file's name.
 * @property {Blob} file
 * @property {Blob} small A copy of at most 256 pixels a side, for thumbnails.
 * @property {number} width Pixels, upright.
 * @property {number} height
 *
 * @typedef {{label: string, probability: number}[]} Labels
 *
 * @typedef {{status: "busy", note: string}
 *   | {status: "done", blob: Blob, labels: Labels | null, ms: number}
 *   | {status: "failed", message: string}} Result
 *
 * @typedef {object} Piece What one run of a task is for.
 * @property {Photo} photo
 * @property {string} task
 * @property {"small" | "full"} size
 * @property {boolean} drawing Whether the photo is taken as a drawing already.
 *
 * @typedef {object} Job Results that are collected for a ZIP file.
 * @property {string} name The file's name.
 * @property {Photo[]} photos
 * @property {string[]} tasks
 *
 * @typedef {{id: number, kind: "info" | "error", text: string, undo: boolean}} Notice
 *
 * @typedef {object} State
 * @property {"connecting" | "ready" | "gone"} server
 * @property {string} trouble Why it is gone.
 * @property {Bundle | null} bundle
 * @property {Photo[]} photos
 * @property {number | null} photo The shown photo's id.
 * @property {string | null} task The chosen task's name.
 * @property {"compare" | "grid"} layout
 * @property {boolean} drawing Whether photos are drawings already, for tasks that make one of them.
 * @property {Map<string, Result>} results By `keyOf`, the newest last.
 * @property {Photo[][]} undo Lists of photos before removals, the latest last.
 * @property {{done: number, total: number} | null} reading Files that are being read.
 * @property {Job | null} job
 * @property {Notice[]} notices
 */

const MOST_NOTICES = 3;
const MOST_UNDO = 20;

/** @type {State} */
export const initial = {
  server: "connecting",
  trouble: "",
  bundle: null,
  photos: [],
  photo: null,
  task: null,
  layout: "compare",
  drawing: false,
  results: new Map(),
  undo: [],
  reading: null,
  job: null,
  notices: [],
};

export const keyOf = ({ photo, task, size, drawing }) => `${photo.id} ${size} ${task}${drawing ? " drawing" : ""}`;
export const shownPhoto = (state) => state.photos.find((photo) => photo.id === state.photo) ?? null;
export const tasksOf = (state) => state.bundle?.tasks ?? [];
export const chosenTask = (state) => tasksOf(state).find((task) => task.name === state.task) ?? null;

export const takesDrawings = (task) => task.input.includes("edges");

/** @returns {Piece} */
export function pieceOf(state, photo, task, size) {
  const drawing = state.drawing && tasksOf(state).some((each) => each.name === task && takesDrawings(each));
  return { photo, task, size, drawing };
}

/** The result of a task on a photo, or undefined if it has not been asked for. */
export const resultOf = (state, photo, task, size) => state.results.get(keyOf(pieceOf(state, photo, task, size)));

/** Tasks that came, went or were replaced; results of tasks that are gone stay unused. */
export const withBundle = (state, bundle) => ({
  ...state,
  server: "ready",
  bundle,
  task: bundle.tasks.some((task) => task.name === state.task) ? state.task : null,
});

/** The server has gone. What failed or waits is forgotten, so that it is asked for again when it is back. */
export const withoutServer = (state, trouble) => ({
  ...state,
  server: "gone",
  trouble,
  results: new Map([...state.results].filter(([, result]) => result.status === "done")),
});

export const withPhoto = (state, photo) => ({
  ...state,
  photos: [...state.photos, photo],
  photo: state.photo ?? photo.id,
});

export const withReading = (state, reading) => ({ ...state, reading });
export const showing = (state, id) => ({ ...state, photo: id });
export const asDrawings = (state, drawing) => ({ ...state, drawing });
export const inLayout = (state, layout) => ({ ...state, layout });

/** A task is chosen: it is compared with the photo. Null shows the photo alone. */
export const choosing = (state, task) => ({ ...state, task, layout: "compare" });

/** The photo `step` places further on, around the end. */
export function stepping(state, step) {
  const { length } = state.photos;
  if (length === 0) return state;
  const at = state.photos.findIndex((photo) => photo.id === state.photo);
  return showing(state, state.photos[(at + step + length) % length].id);
}

/** Photos are removed, and it can be undone. Beside a removed photo, its neighbour is shown. */
export function without(state, ids) {
  const at = state.photos.findIndex((photo) => photo.id === state.photo);
  const photos = state.photos.filter((photo) => !ids.includes(photo.id));
  const kept = photos.some((photo) => photo.id === state.photo);
  return informed(
    {
      ...state,
      photos,
      photo: kept ? state.photo : (photos[Math.min(at, photos.length - 1)]?.id ?? null),
      undo: [...state.undo, state.photos].slice(-MOST_UNDO),
      job: null,
    },
    ids.length === 1 ? "The photo has been removed." : `${ids.length} photos have been removed.`,
    true,
  );
}

/** The last removal is undone. Photos that were added since stay. */
export function undone(state) {
  const before = state.undo.at(-1);
  if (!before) return state;
  const added = state.photos.filter((photo) => !before.includes(photo));
  const back = before.find((photo) => !state.photos.includes(photo));
  return {
    ...state,
    photos: [...before, ...added],
    photo: back.id,
    undo: state.undo.slice(0, -1),
    notices: state.notices.filter((notice) => !notice.undo),
  };
}

export function withResult(state, piece, result) {
  const results = new Map(state.results);
  results.delete(keyOf(piece));
  if (result) results.set(keyOf(piece), result);
  return { ...state, results };
}

export const withJob = (state, job) => ({ ...state, job });

let nextNotice = 0;

/** A message is told. One that is shown already is not told twice; of two with Undo, the later stays. */
function told(state, kind, text, undo) {
  const others = state.notices.filter((notice) => notice.text !== text && !(undo && notice.undo));
  return { ...state, notices: [...others, { id: nextNotice++, kind, text, undo }].slice(-MOST_NOTICES) };
}

export const informed = (state, text, undo = false) => told(state, "info", text, undo);
export const failed = (state, text) => told(state, "error", text, false);
export const dismissed = (state, id) => ({ ...state, notices: state.notices.filter((notice) => notice.id !== id) });

/**
 * The runs that the state asks for and that have neither succeeded nor failed, the most urgent first.
 *
 * Work follows from the state alone: choosing another task or photo ends the work for the last one, and nothing has to
 * be started again by hand after an interruption.
 *
 * @param {State} state
 * @returns {Piece[]}
 */
export function wanted(state) {
  if (state.server !== "ready") return [];
  const pieces = new Map();
  const want = (photo, task, size) => {
    const piece = pieceOf(state, photo, task, size);
    const status = state.results.get(keyOf(piece))?.status;
    if (status !== "done" && status !== "failed") pieces.set(keyOf(piece), piece);
  };
  const photo = shownPhoto(state);
  const tasks = tasksOf(state);
  if (photo) {
    if (state.task) want(photo, state.task, "full");
    for (const task of tasks) want(photo, task.name, "small");
    if (state.layout === "grid") for (const task of tasks) want(photo, task.name, "full");
  }
  for (const each of state.job?.photos ?? []) for (const task of state.job.tasks) want(each, task, "full");
  return [...pieces.values()];
}

/**
 * The state without the oldest answers beyond a number of bytes. Those of the shown photo and of a job stay.
 *
 * @param {State} state
 * @param {number} most
 */
export function trimmed(state, most) {
  const needed = (key) => state.job || key.startsWith(`${state.photo} `);
  let bytes = 0;
  const kept = [...state.results].reverse().filter(([key, result]) => {
    bytes += result.blob?.size ?? 0;
    return bytes <= most || needed(key);
  });
  return kept.length === state.results.size ? state : { ...state, results: new Map(kept.reverse()) };
}

/** How many of a job's results are there, whether they succeeded or not, and of how many. */
export function progressOf(state, job) {
  const results = job.photos.flatMap((photo) => job.tasks.map((task) => resultOf(state, photo, task, "full")));
  return { done: results.filter((result) => result && result.status !== "busy").length, total: results.length };
}
