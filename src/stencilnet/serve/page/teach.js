/** The panel that teaches a new task, where the service can. */

import { contrastOf } from "./contrast.js";
import { addressOf, byId, h, openDialog, percentText, releaseAddress } from "./dom.js";
import { Gone } from "./http.js";
import { droppedFiles, listed } from "./intake.js";
import { KINDS, USELESS, metricText, nameIn, picturesOf, problemOf, shareOf, statusOf, valueText, verdictOf } from "./lesson.js";
import { choosing, failed, informed, tasksOf, withBundle, withoutServer } from "./model.js";
import { mountRefine } from "./refine.js";
import { createStore } from "./store.js";

const MOST_THUMBNAILS = 5;

/**
 * @typedef {object} Panel
 * @property {string} kind The chosen kind of teaching.
 * @property {Record<string, File[]>} files By folder; those of other kinds are kept.
 * @property {{done: number, total: number} | null} sending
 * @property {import("./lesson.js").Lesson | null} lesson The lesson that is shown; null shows the form.
 * @property {string} problem Why the form cannot be sent, or the last lesson has failed.
 */

/**
 * @param {import("./store.js").Store<import("./model.js").State>} store
 * @param {import("./api.js").Service} service
 */
export function mountTeach(store, service) {
  const { teaching } = service;
  const dialog = /** @type {HTMLDialogElement} */ (byId("teach"));
  const panel = createStore({ kind: "pairs", files: {}, sending: null, lesson: null, problem: "" });
  const put = (change) => panel.update((state) => ({ ...state, ...change }));
  let control = new AbortController();
  let beginning = false;

  async function start() {
    if (beginning) return; // a double click
    const settings = settingsOf(panel.get().kind);
    const { kind, files } = chosen(panel.get());
    const problem = problemOf({ ...settings, kind, files, known: tasksOf(store.get()).map(({ name }) => name) });
    put({ problem });
    if (problem) return;
    control = new AbortController();
    beginning = true;
    await attempt(async () => {
      const lesson = await teaching.begin(settings).finally(() => (beginning = false));
      put({ lesson });
      await follow(await startedWith(lesson, kind, files, control.signal));
    });
    if (panel.get().problem) await attempt(followRunning); // perhaps another page's lesson is in the way
  }

  /** Follow the lesson that runs, if one does: this page may have been reloaded, or another one has started it. */
  async function followRunning() {
    const lesson = await teaching.current();
    if (lesson?.state !== "running" || panel.get().lesson) return;
    control = new AbortController();
    await follow(lesson);
  }

  /** Start a lesson with its pictures. Where that fails or is given up, none of them stays on the server. */
  async function startedWith(lesson, kind, files, signal) {
    try {
      await send(lesson, kind, files, signal);
      return await teaching.start(lesson.id);
    } catch (error) {
      await teaching.cancel(lesson.id).catch(() => {}); // the first error is the one to tell
      throw error;
    }
  }

  async function send(lesson, kind, files, signal) {
    const list = kind.folders.flatMap(({ folder }) => files[folder].map((file) => ({ folder, file })));
    for (const [done, { folder, file }] of list.entries()) {
      put({ sending: { done, total: list.length } });
      await teaching.send(lesson.id, folder, nameIn(file), file, signal, () => {});
    }
    put({ sending: null });
  }

  async function follow(lesson) {
    put({ lesson });
    for await (const next of teaching.follow(lesson.id)) {
      lesson = next;
      put({ lesson });
    }
    if (lesson.state === "done") await learned(lesson);
    else if (lesson.state === "failed") refuse(lesson.error.message);
    else refuse(control.signal.aborted ? "" : "The teaching has been cancelled.");
  }

  /** The new task is among the others, without a reload. */
  async function learned({ name }) {
    try {
      const bundle = await service.tasks();
      store.update((state) => withBundle(state, bundle));
    } catch (error) {
      store.update((state) => withoutServer(state, error.message)); // the tasks are read when it is back
    }
    if (!dialog.open) store.update((state) => informed(state, `${titleOf(name)} has been learned.`));
  }

  /** Show the form again, with what was chosen, and say why. */
  function refuse(problem) {
    put({ lesson: null, sending: null, problem });
    if (problem && !dialog.open) store.update((state) => failed(state, problem));
  }

  async function attempt(work) {
    try {
      await work();
    } catch (error) {
      if (error instanceof Gone) store.update((state) => withoutServer(state, error.message));
      refuse(control.signal.aborted ? "" : error.message);
    }
  }

  async function cancel() {
    const { lesson, sending } = panel.get();
    control.abort();
    if (sending) return; // it fails now, which cancels the lesson
    await attempt(async () => {
      if (lesson) await teaching.cancel(lesson.id);
      refuse("");
    });
  }

  function open() {
    if (openDialog()) return;
    dialog.showModal();
    if (!panel.get().lesson && !beginning) attempt(followRunning);
  }

  const titleOf = (name) => tasksOf(store.get()).find((task) => task.name === name)?.title ?? name;

  function show() {
    const { name } = panel.get().lesson;
    put({ lesson: null });
    store.update((state) => choosing(state, name));
    dialog.close();
    byId("tasks").querySelector(`[data-task="${name}"]`)?.focus();
  }

  function again() {
    byId("lesson-name").value = "";
    for (const file of Object.values(panel.get().files).flat()) releaseAddress(file);
    put({ lesson: null, files: {}, problem: "" });
    byId("lesson-name").focus();
  }

  addEventListener("pagehide", () => panel.get().sending && cancel());
  byId("show-teach").addEventListener("click", open);
  const clicks = { "lesson-cancel": cancel, "lesson-show": show, "lesson-again": again };
  for (const [id, run] of Object.entries(clicks)) byId(id).addEventListener("click", run);
  for (const each of dialog.querySelectorAll(".close")) each.addEventListener("click", () => dialog.close());
  byId("lesson").addEventListener("submit", (event) => {
    event.preventDefault();
    start();
  });
  mountForm(panel, put);
  mountProgress(panel, teaching);
  mountRefine(panel, teaching);
  panel.subscribe(({ lesson }) => {
    const running = Boolean(lesson && ["collecting", "running"].includes(lesson.state));
    const [text, share] = running ? ["Teaching", percentText(shareOf(lesson))] : ["Teach a new task", ""];
    byId("show-teach-text").textContent = text;
    byId("show-teach-share").textContent = share;
    byId("show-teach-share").hidden = !running;
    byId("show-teach").setAttribute("aria-label", `${text} ${share}`.trim()); // small screens hide the text
    keepFocus(dialog);
  });

  let offered = false;
  store.subscribe(({ bundle }) => {
    if (offered || !bundle?.teaching || !teaching) return;
    offered = true;
    byId("show-teach").hidden = false;
    attempt(followRunning);
  });
}

/** The button that had the focus may be hidden by now; its focus goes on to what comes next. */
function keepFocus(dialog) {
  const { activeElement } = document;
  if (!dialog.open || (dialog.contains(activeElement) && activeElement.checkVisibility())) return;
  [...dialog.querySelectorAll("[autofocus]")].find((each) => each.checkVisibility())?.focus();
}

/** What the form asks for, as the service's parameters. */
function settingsOf(kind) {
  const fields = [["name", true], ["minutes", true], ["damage", kind === "restore"], ["classes", kind === "labels"]];
  const given = fields.filter(([, fits]) => fits).map(([field]) => [field, byId(`lesson-${field}`).value.trim()]);
  if (kind === "labels" && byId("lesson-gray").checked) given.push(["threshold", "128"]);
  return { kind, ...Object.fromEntries(given.filter(([, value]) => value)) };
}

const chosen = ({ kind, files }) => ({ kind: KINDS.find((each) => each.kind === kind), files });

/** The form: the kind of teaching, a place for each of its folders, and its options. */
function mountForm(panel, put) {
  const kinds = KINDS.map(({ kind, title }) => {
    const input = h("input", { type: "radio", name: "lesson-kind", value: kind, checked: kind === panel.get().kind });
    input.addEventListener("change", () => put({ kind, problem: "" }));
    return h("label", {}, input, title);
  });
  byId("lesson-kinds").append(...kinds);
  const places = KINDS.flatMap((kind) => kind.folders.map((folder) => makePlace(kind, folder, take)));
  byId("lesson-folders").append(...places.map(({ element }) => element));

  function take(folder, files) {
    const pictures = picturesOf(files);
    const others = files.length - pictures.length;
    const left = others === 1 ? "One file is no picture and is left out." : `${others} files are no pictures and are left out.`;
    for (const file of panel.get().files[folder] ?? []) releaseAddress(file);
    put({ files: { ...panel.get().files, [folder]: pictures }, problem: others ? left : "" });
  }

  panel.subscribe(({ kind, files, lesson, problem }) => {
    byId("lesson").hidden = Boolean(lesson);
    byId("lesson-about").textContent = KINDS.find((each) => each.kind === kind).about;
    for (const place of places) place.show(kind, files);
    for (const each of byId("lesson").querySelectorAll("[data-for]")) each.hidden = each.dataset.for !== kind;
    if (byId("lesson-problem").textContent !== problem) byId("lesson-problem").textContent = problem;
    byId("lesson-problem").hidden = !problem;
  });
}

/** A place for the pictures of a folder: chosen, or dropped on it. */
function makePlace({ kind }, { folder, title, hint, one }, take) {
  const count = h("span", { class: "fact" }, hint);
  const thumbnails = h("span", { class: "thumbnails", "aria-hidden": "true" });
  const pick = (text, options) => {
    const input = h("input", { type: "file", hidden: true, ...options });
    input.addEventListener("change", () => {
      take(folder, listed(input.files));
      input.value = "";
    });
    return [h("button", { type: "button", onclick: () => input.click(), "aria-label": `${title}: ${text}` }, text), input];
  };
  const files = pick(one ? "Choose a picture" : "Choose files", { accept: "image/*", multiple: !one, "data-folder": folder });
  const buttons = h("span", { class: "buttons" }, ...(one ? [] : pick("Choose a folder", { webkitdirectory: true })), ...files);
  const element = h(
    "div",
    { class: "place", role: "group", "aria-label": title },
    h("strong", {}, title),
    h("span", { "aria-live": "polite" }, count),
    thumbnails,
    buttons,
  );
  element.addEventListener("dragover", () => element.classList.add("over"));
  element.addEventListener("dragleave", () => element.classList.remove("over"));
  element.addEventListener("drop", async (event) => {
    event.preventDefault();
    element.classList.remove("over");
    const dropped = await droppedFiles(event.dataTransfer);
    take(folder, one ? dropped.slice(0, 1) : dropped);
  });

  let shown = null;
  function show(current, all) {
    element.hidden = current !== kind;
    const list = all[folder] ?? [];
    if (list === shown) return;
    shown = list;
    element.classList.toggle("filled", list.length > 0);
    count.textContent = list.length ? (list.length === 1 ? list[0].name : `${list.length} pictures`) : hint;
    thumbnails.replaceChildren(...list.slice(0, MOST_THUMBNAILS).map((file) => thumbnailOf(file, folder)));
  }
  return { element, show };
}

function thumbnailOf(file, folder) {
  const image = h("img", { src: addressOf(file), alt: "", decoding: "async" });
  if (folder === "labels") contrastOf(file).then((factor) => (image.style.filter = `brightness(${factor})`));
  return image;
}

/** How far the lesson is, how good the task is, and its sample pictures. */
function mountProgress(panel, teaching) {
  let spoken = "";
  panel.subscribe(({ lesson, sending }) => {
    byId("lesson-progress").hidden = !lesson;
    byId("teach").classList.toggle("learning", Boolean(lesson));
    byId("teach-title").textContent = lesson ? lesson.name : "Teach a new task";
    if (!lesson) return;
    const done = lesson.state === "done";
    const status = sending ? `Sending the pictures: ${sending.done} of ${sending.total}` : statusOf(lesson);
    byId("lesson-status").textContent = status;
    const bar = byId("lesson-bar");
    bar.hidden = done;
    if (sending) bar.value = sending.done / sending.total;
    else if (lesson.doing || !lesson.steps) bar.removeAttribute("value");
    else bar.value = shareOf(lesson);
    showScore(lesson);
    const { id, samples, columns } = lesson;
    byId("lesson-samples").hidden = samples === null;
    byId("lesson-waiting").hidden = samples !== null;
    if (samples !== null) {
      byId("lesson-columns").replaceChildren(...columns.map((column) => h("span", {}, column)));
      const address = teaching.samples(id, samples);
      if (byId("lesson-sheet").src !== address) byId("lesson-sheet").src = address;
    }
    byId("lesson-notes").replaceChildren(...(done ? [] : lesson.notes).map((note) => h("li", {}, note)));
    byId("lesson-cancel").hidden = done;
    byId("lesson-hide").hidden = done;
    byId("lesson-show").hidden = byId("lesson-again").hidden = !done;
    const text = done || !lesson.doing ? `${done ? `${status} ` : ""}${verdictOf(lesson)}` : status;
    if (text && text !== spoken) byId("lesson-said").textContent = spoken = text;
  });
}

function showScore({ measure, better }) {
  byId("lesson-score").hidden = !measure;
  if (!measure) return;
  const { metric, higher_is_better: higher, trivial, trivial_value: base, value } = measure;
  byId("score-metric").textContent = `${metricText(metric)} on pictures held out, ${higher ? "higher" : "lower"} is better`;
  byId("score-value").textContent = valueText(value);
  byId("score-trivial").textContent = valueText(base);
  byId("score-trivial-name").textContent = `${trivial[0].toUpperCase()}${trivial.slice(1)}`;
  const ahead = value !== null && base !== null && (higher ? value > base : value < base);
  byId("score-value").classList.toggle("ahead", ahead);
  byId("lesson-verdict").textContent = better === false ? USELESS : "";
}
