/** What is shown: the task, its bytes and time, its classes; and the bundle as a whole. */

import { byId, bytesText, h, percentText, timeText } from "./dom.js";
import { chosenTask, resultOf, shownPhoto, takesDrawings } from "./model.js";
import { sharesOf } from "./legend.js";

const MOST_LABELS = 5;

export function mountDetails(store) {
  /** @type {Blob | null} */
  let counted = null;

  store.subscribe((state) => {
    const photo = shownPhoto(state);
    const task = chosenTask(state);
    showBundle(state.bundle);
    document.body.classList.toggle("empty", !photo);
    byId("caption").hidden = !photo;
    if (!photo) return;

    const result = task && resultOf(state, photo, task.name, "full");
    const done = result?.status === "done" ? result : null;
    byId("task-title").textContent = task?.title ?? photo.name;
    byId("task-kind").textContent = task?.category ?? "Choose a task";
    byId("task-bytes").textContent = task ? bytesText(task.bytes) : `${photo.width} × ${photo.height}`;
    byId("task-time").textContent = done ? timeText(done.ms) : "";
    byId("drawing").hidden = !task || !takesDrawings(task);
    for (const action of ["download", "copy"]) byId(action).disabled = !done;

    const classes = task?.answer.type === "label_map" ? task.answer.classes : [];
    const legend = byId("legend");
    legend.hidden = !classes.length && !done?.labels;
    if (done?.labels) legend.replaceChildren(labelList(done.labels));
    else if (counted !== (done?.blob ?? task)) {
      counted = done?.blob ?? task;
      legend.replaceChildren(...classes.map((each) => legendItem(each, null)));
      if (done && classes.length) showShares(legend, classes, done.blob);
    }
  });

  async function showShares(legend, classes, blob) {
    const shares = await sharesOf(blob, classes);
    if (counted !== blob) return; // another answer is shown by now
    const sorted = classes.map((each, place) => [each, shares[place]]).sort((one, other) => other[1] - one[1]);
    legend.replaceChildren(...sorted.map(([each, share]) => legendItem(each, share)));
  }
}

function showBundle(bundle) {
  if (!bundle) return;
  byId("bundle-name").textContent = document.title = bundle.name;
  const { tasks } = bundle;
  const mean = tasks.reduce((sum, task) => sum + task.bytes, 0) / tasks.length;
  const facts = [
    `${tasks.length} ${tasks.length === 1 ? "task" : "tasks"}`,
    `${bytesText(bundle.bytes)}${tasks.length ? ` + ${tasks.length} × ${bytesText(Math.round(mean))}` : ""}`,
  ];
  byId("bundle-facts").textContent = facts.join(" · ");
}

function legendItem({ name, colour }, share) {
  const chip = h("span", { class: "chip" });
  chip.style.background = `rgb(${colour.join(" ")})`;
  const item = h("span", { class: "class" }, chip, name);
  if (share !== null) item.append(h("span", { class: "fact" }, percentText(share)));
  item.classList.toggle("absent", share === 0);
  return item;
}

/** The most probable labels, with their probabilities as bars. */
export function labelList(labels) {
  const rows = labels.slice(0, MOST_LABELS).map(({ label, probability }) => {
    const bar = h("span", { class: "bar" });
    bar.style.setProperty("--share", probability);
    return h("span", { class: "label" }, bar, h("span", {}, label), h("span", { class: "fact" }, percentText(probability)));
  });
  return h("span", { class: "labels" }, ...rows);
}
