/** Puts the page together. */

import { collectPhotos, collectTasks, copy, download, followJob } from "./deliver.js";
import { mountDetails } from "./details.js";
import { byId, openDialog } from "./dom.js";
import { mountGrid } from "./grid.js";
import { droppedFiles, listed, readPhotos } from "./intake.js";
import { mountKeys } from "./keys.js";
import {
  asDrawings,
  choosing,
  failed,
  informed,
  initial,
  inLayout,
  pieceOf,
  shownPhoto,
  stepping,
  undone,
  withBundle,
  withJob,
  without,
  withResult,
} from "./model.js";
import { mountNotices } from "./notices.js";
import { createService } from "./service.js";
import { mountStage } from "./stage.js";
import { createStore } from "./store.js";
import { mountPhotos, mountTasks } from "./strips.js";
import { mountTeach } from "./teach.js";
import { mountTheme } from "./theme.js";
import { boundMemory, followServer, startWork } from "./work.js";

const store = createStore(initial);
const service = createService();
const update = (change) => () => store.update(change);

const stage = mountStage(store);
mountTasks(store);
mountPhotos(store);
mountGrid(store);
mountDetails(store);
mountNotices(store);
mountTheme();
mountTeach(store, service);

let reading = new AbortController();
let last = Promise.resolve();

/** Read files after those that are being read. */
function read(files) {
  const given = [...files]; // the browser may empty its own list after the event
  const archives = service.install ? given.filter(({ name }) => name.endsWith(".zip")) : [];
  const list = given.filter((file) => !archives.includes(file));
  archives.forEach(install);
  if (reading.signal.aborted) reading = new AbortController();
  const { signal } = reading;
  last = last.then(() => readPhotos(store, list, signal));
}

/** Add the tasks of an archive until the page is left. */
async function install(file) {
  try {
    const bundle = await service.install(file);
    store.update((state) => informed(withBundle(state, bundle), `${file.name} has been added, until this page is left.`));
  } catch (error) {
    store.update((state) => failed(state, `${file.name} cannot be added. ${error.message}`));
  }
}

/** Read the scene that comes with the page. */
async function example() {
  const answer = await fetch("example.webp");
  read([new File([await answer.blob()], "scene.webp", { type: "image/webp" })]);
}

function cancel() {
  reading.abort();
  store.update((state) => withJob(state, null));
}

/** Leave the grid, else end what runs, else show the photo alone. */
function escape() {
  const { layout, job, reading: isReading } = store.get();
  if (job || isReading) cancel();
  else if (layout === "grid") store.update((state) => inLayout(state, "compare"));
  else store.update((state) => choosing(state, null));
}

function tryAgain() {
  store.update((state) => withResult(state, pieceOf(state, shownPhoto(state), state.task, "full"), null));
}

const clear = update((state) => without(state, state.photos.map((photo) => photo.id)));
const toggleGrid = update((state) => inLayout(state, state.layout === "grid" ? "compare" : "grid"));

const clicks = {
  "choose-photos": () => byId("photo-files").click(),
  "add-photos": () => byId("photo-files").click(),
  "choose-folder": () => byId("folder-files").click(),
  "example": example,
  "clear": clear,
  "cancel": cancel,
  "cancel-task": update((state) => choosing(state, null)),
  "try-again": tryAgain,
  "zoom-in": stage.zoomIn,
  "zoom-out": stage.zoomOut,
  "zoom-fit": stage.fit,
  "compare": update((state) => inLayout(state, "compare")),
  "side-by-side": update((state) => inLayout(state, "grid")),
  "download": () => download(store),
  "copy": () => copy(store),
  "zip-tasks": () => collectTasks(store),
  "zip-photos": () => collectPhotos(store),
};
for (const [id, run] of Object.entries(clicks)) byId(id).addEventListener("click", run);

mountKeys([
  { keys: ["Tab"], text: "Go on to the next control" },
  { keys: ["←", "→"], text: "Move the slider, or between thumbnails; on the picture, pan" },
  { keys: ["+", "="], text: "Zoom in", run: stage.zoomIn },
  { keys: ["-"], text: "Zoom out", run: stage.zoomOut },
  { keys: ["0"], text: "Show the whole picture", run: stage.fit },
  { keys: ["g"], text: "All tasks side by side, and back", run: toggleGrid },
  { keys: ["n"], text: "Next photo", run: update((state) => stepping(state, 1)) },
  { keys: ["p"], text: "Previous photo", run: update((state) => stepping(state, -1)) },
  { keys: ["o"], text: "Choose photos", run: clicks["choose-photos"] },
  { keys: ["d"], text: "Download the picture", run: clicks.download },
  { keys: ["Ctrl C"], text: "Copy the picture", run: clicks.copy },
  { keys: ["z"], text: "ZIP file of all tasks of this photo", run: clicks["zip-tasks"] },
  { keys: ["Delete"], text: "On a photo of the strip: remove it" },
  { keys: ["Ctrl Z"], text: "Undo a removal", run: update(undone) },
  { keys: ["Escape"], text: "Cancel, leave the grid, or show the photo alone", run: escape },
]);

byId("drawing").addEventListener("change", ({ target }) => store.update((state) => asDrawings(state, target.checked)));

for (const id of ["photo-files", "folder-files"])
  byId(id).addEventListener("change", ({ target }) => {
    read(target.webkitdirectory ? listed(target.files) : target.files);
    target.value = ""; // the same file can be chosen again
  });

document.addEventListener("paste", ({ clipboardData }) => {
  if (openDialog()) return;
  if (clipboardData.files.length) read(clipboardData.files);
  else store.update((state) => informed(state, "There is no picture in the clipboard."));
});

// Entering a child leaves its parent, so entries are counted.
let entered = 0;
const showDropping = () => document.body.classList.toggle("dropping", entered > 0);
document.addEventListener("dragenter", (event) => {
  event.preventDefault();
  if (!event.dataTransfer?.types.includes("Files")) return;
  entered += 1;
  showDropping();
});
document.addEventListener("dragleave", () => {
  entered = Math.max(0, entered - 1);
  showDropping();
});
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", async (event) => {
  event.preventDefault();
  entered = 0;
  showDropping();
  if (!openDialog()) read(await droppedFiles(event.dataTransfer));
});

store.subscribe((state) => {
  byId("compare").setAttribute("aria-pressed", String(state.layout === "compare"));
  byId("side-by-side").setAttribute("aria-pressed", String(state.layout === "grid"));
  document.body.classList.toggle("side-by-side", state.layout === "grid");
  byId("zip-photos").hidden = state.photos.length < 2;
  byId("zip-photos").disabled = !state.task;
});

byId("privacy").textContent = service.local
  ? "No picture leaves this machine."
  : `Pictures are sent to ${location.host}, which runs the tasks and does not store them.`;

if (service.gone) byId("gone").textContent = service.gone;

followJob(store);
boundMemory(store);
startWork(store, service);
followServer(store, service);
