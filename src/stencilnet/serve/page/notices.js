/** Messages: shown until dismissed, and spoken by screen readers. */

import { byId, h, icon, timeText } from "./dom.js";
import { keyed } from "./list.js";
import { chosenTask, dismissed, failed, progressOf, resultOf, shownPhoto, undone } from "./model.js";

export function mountNotices(store) {
  const items = keyed(byId("notices"), (notice) => {
    const role = notice.kind === "error" ? "alert" : "status";
    const element = h("div", { class: `notice ${notice.kind}`, role }, h("span", {}, notice.text));
    const close = () => store.update((state) => dismissed(state, notice.id));
    if (notice.undo) element.append(h("button", { class: "text", onclick: () => store.update(undone) }, "Undo"));
    element.append(h("button", { class: "plain", "aria-label": "Dismiss", onclick: close }, icon("close")));
    return { element };
  });

  store.subscribe((state) => {
    items(state.notices, (notice) => notice.id);
    byId("gone").hidden = state.server !== "gone";
    const text = `${state.trouble} This page tries again by itself.`;
    if (byId("gone").textContent !== text) byId("gone").textContent = text; // it is spoken once
    showProgress(state);
  });
  announceResults(store);
  announceDamage(store);
}

/** One bar, for files that are read or a ZIP file that is made. */
function showProgress(state) {
  const { reading, job } = state;
  const progress = reading?.total > 1 ? reading : job && progressOf(state, job);
  byId("progress").hidden = !progress;
  if (!progress) return;
  const { done, total } = progress;
  const bar = byId("progress-bar");
  bar.max = total;
  bar.value = done;
  byId("progress-text").textContent = `${reading ? "Reading photos" : `Making ${job.name}`}: ${done} of ${total}`;
}

/** Say what has become of the chosen task. */
function announceResults(store) {
  const live = byId("live");
  let said = null;
  store.subscribe((state) => {
    const [photo, task] = [shownPhoto(state), chosenTask(state)];
    const result = photo && task && resultOf(state, photo, task.name, "full");
    if (!result || result === said) return;
    said = result;
    if (result.status === "busy") live.textContent = result.note || `${task.title} is running.`;
    if (result.status === "done") live.textContent = `${task.title} is done, in ${timeText(result.ms)}.`;
    if (result.status === "failed") live.textContent = `${task.title} has failed. ${result.message}`;
  });
}

/** Say which of the bundle's tasks cannot be read. */
function announceDamage(store) {
  let told = null;
  store.subscribe(({ bundle }) => {
    if (bundle === told) return;
    told = bundle;
    for (const { message } of bundle.damaged) store.update((state) => failed(state, message));
  });
}
