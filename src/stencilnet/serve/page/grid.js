/** All tasks of a photo side by side, beside the photo. */

import { addressOf, byId, factOf, h } from "./dom.js";
import { labelList } from "./details.js";
import { keyed, moveByArrows } from "./list.js";
import { choosing, resultOf, shownPhoto, tasksOf } from "./model.js";

const PHOTO = { name: null, title: "Before" };

export function mountGrid(store) {
  const list = byId("grid");
  const items = keyed(list, (task) => {
    const image = h("img", { alt: "", draggable: "false" });
    const answer = h("span", { class: "answer" });
    const fact = h("span", { class: "fact" });
    const choose = () => store.update((state) => choosing(state, task.name));
    const caption = h("span", { class: "caption" }, h("span", { class: "title" }, task.title), fact);
    const button = h("button", { class: "thumb", onclick: choose }, h("span", { class: "frame" }, image, answer), caption);
    return { element: h("li", {}, button), button, image, answer, fact };
  });
  moveByArrows(list);

  store.subscribe((state) => {
    const photo = shownPhoto(state);
    list.hidden = state.layout !== "grid" || !photo;
    byId("stage").hidden = state.layout !== "compare" || !photo;
    if (list.hidden) return;
    list.style.setProperty("--ratio", `${photo.width} / ${photo.height}`);
    const cells = [PHOTO, ...tasksOf(state)];
    items(cells, (task) => task.name).forEach((item, place) => show(item, cells[place], state, photo, place));
  });
}

function show({ button, image, answer, fact }, task, state, photo, place) {
  button.tabIndex = place === 0 ? 0 : -1;
  const full = task.name && resultOf(state, photo, task.name, "full");
  const small = task.name && resultOf(state, photo, task.name, "small");
  const best = [full, small].find((result) => result?.status === "done") ?? null;
  const blob = task.name === null ? photo.file : best?.labels ? photo.small : best?.blob;
  image.hidden = !blob;
  if (blob && image.src !== addressOf(blob)) image.src = addressOf(blob);
  button.classList.toggle("busy", full?.status === "busy");
  answer.replaceChildren(...(best?.labels ? [labelList(best.labels)] : []));
  answer.append(full?.status === "failed" ? full.message : "");
  fact.textContent = task.name === null ? `${photo.width} × ${photo.height}` : factOf(task, full);
}
