/** Answers on their way out: a file, the clipboard, a ZIP file. */

import { addressOf, h, releaseAddress } from "./dom.js";
import { chosenTask, failed, informed, progressOf, resultOf, shownPhoto, tasksOf, withJob } from "./model.js";
import { zipped } from "./zip.js";

/** Browsers do not say when they have read what they save. */
const SECONDS_TO_SAVE = 60;

const stem = (photo) => photo.name.replace(/\.[^.]*$/, "") || "photo";
const fileName = (photo, task, result) => `${stem(photo)}-${task}.${result.labels ? "json" : "png"}`;

/** The chosen task's full answer, or null. */
function answerOf(state) {
  const [photo, task] = [shownPhoto(state), chosenTask(state)];
  const result = photo && task && resultOf(state, photo, task.name, "full");
  return result?.status === "done" ? { photo, task, result } : null;
}

export function download(store) {
  const answer = answerOf(store.get());
  if (answer) save(answer.result.blob, fileName(answer.photo, answer.task.name, answer.result));
}

export async function copy(store) {
  const answer = answerOf(store.get());
  if (!answer) return;
  const { blob, labels } = answer.result;
  try {
    if (labels) await navigator.clipboard.writeText(await blob.text());
    else await navigator.clipboard.write([new ClipboardItem({ "image/png": blob })]);
    store.update((state) => informed(state, `${answer.task.title} has been copied.`));
  } catch {
    const remedy = "Download the picture instead, or allow this page to use the clipboard.";
    store.update((state) => failed(state, `The browser refuses to copy. ${remedy}`));
  }
}

/** Collect all tasks of the shown photo. */
export function collectTasks(store) {
  store.update((state) => {
    const photo = shownPhoto(state);
    if (!photo) return state;
    return withJob(state, { name: `${stem(photo)}.zip`, photos: [photo], tasks: tasksOf(state).map(({ name }) => name) });
  });
}

/** Collect the chosen task of all photos. */
export function collectPhotos(store) {
  store.update((state) => {
    if (!state.task || !state.photos.length) return state;
    return withJob(state, { name: `${state.task}.zip`, photos: state.photos, tasks: [state.task] });
  });
}

/** Write the ZIP file when a job's results are all there. */
export function followJob(store) {
  store.subscribe((state) => {
    const { job } = state;
    if (!job) return;
    const { done, total } = progressOf(state, job);
    if (done < total) return;
    store.update((latest) => withJob(latest, null));
    finish(store, job, state);
  });
}

async function finish(store, job, state) {
  const files = [];
  let missing = 0;
  for (const photo of job.photos)
    for (const task of job.tasks) {
      const result = resultOf(state, photo, task, "full");
      if (result.status === "done") files.push({ name: fileName(photo, task, result), blob: result.blob });
      else missing += 1;
    }
  if (missing) {
    const text = `${missing} of ${missing + files.length} pictures could not be made, and are not in ${job.name}.`;
    store.update((latest) => failed(latest, text));
  }
  if (!files.length) return;
  const file = await zipped(distinct(files));
  save(file, job.name);
  setTimeout(() => releaseAddress(file), SECONDS_TO_SAVE * 1000);
}

/** Photos of several folders may have the same name. */
function distinct(files) {
  const taken = new Set();
  return files.map(({ name, blob }) => {
    let free = name;
    for (let count = 2; taken.has(free); count++) free = name.replace(/(\.[^.]*)$/, ` (${count})$1`);
    taken.add(free);
    return { name: free, blob };
  });
}

function save(blob, name) {
  h("a", { href: addressOf(blob), download: name }).click();
}
