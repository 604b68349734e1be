/** Rows of pictures to choose from: the tasks' thumbnails, and the photos. */

import { addressOf, byId, factOf, h, icon, percentText } from "./dom.js";
import { keyed, moveByArrows } from "./list.js";
import { choosing, resultOf, showing, shownPhoto, tasksOf, without } from "./model.js";

/** The thumbnails of all tasks on the shown photo. */
export function mountTasks(store) {
  const list = byId("tasks");
  const items = keyed(list, (task) => {
    const image = h("img", { alt: "", draggable: "false" });
    const note = h("span", { class: "note" });
    const title = h("span", { class: "title" }, task.title);
    const size = h("span", { class: "fact" });
    const choose = () =>
      store.update((state) => choosing(state, state.task === task.name ? null : task.name));
    const frame = h("span", { class: "frame" }, image, note);
    const button = h("button", { class: "thumb", "data-task": task.name, onclick: choose }, frame, title, size);
    return { element: h("li", {}, button), button, image, note, size };
  });
  moveByArrows(list);

  let hadPhoto = false;
  store.subscribe((state) => {
    const photo = shownPhoto(state);
    const shown = items(tasksOf(state), (task) => task.name);
    shown.forEach(({ button, image, note, size }, place) => {
      const task = tasksOf(state)[place];
      const chosen = task.name === state.task;
      button.setAttribute("aria-pressed", String(chosen));
      button.tabIndex = chosen || (place === 0 && !state.task) ? 0 : -1;
      button.disabled = !photo;
      const result = photo && resultOf(state, photo, task.name, "small");
      button.classList.toggle("busy", result?.status === "busy");
      size.textContent = factOf(task, photo && resultOf(state, photo, task.name, "full"));
      note.textContent = noteOf(result);
      picture(image, result?.status === "done" && !result.labels ? result.blob : null);
    });
    // The button that has chosen the first photo goes away; its focus goes on to what comes next.
    if (photo && !hadPhoto && byId("welcome").contains(document.activeElement)) shown[0]?.button.focus();
    hadPhoto = Boolean(photo);
  });
}

function noteOf(result) {
  if (result?.status === "failed") return "failed";
  if (!result?.labels) return "";
  const [first] = result.labels;
  return `${first.label} ${percentText(first.probability)}`;
}

/** The photos, where there is more than one. */
export function mountPhotos(store) {
  const list = byId("photos");
  const items = keyed(list, (photo) => {
    const image = h("img", { src: addressOf(photo.small), alt: "", draggable: "false" });
    const show = () => store.update((state) => showing(state, photo.id));
    const remove = () => {
      store.update((state) => without(state, [photo.id]));
      queueMicrotask(() => list.querySelector("[tabindex='0']")?.focus());
    };
    const button = h("button", {
      class: "thumb",
      "aria-label": photo.name,
      title: photo.name,
      onclick: show,
      onkeydown: (event) => event.key === "Delete" && remove(),
    });
    button.append(h("span", { class: "frame" }, image));
    const label = `Remove ${photo.name}`;
    const cross = h("button", { class: "remove", "aria-label": label, title: label, tabindex: "-1", onclick: remove });
    cross.append(icon("close"));
    return { element: h("li", {}, button, cross), button };
  });
  moveByArrows(list);

  let last = null;
  store.subscribe((state) => {
    const shown = items(state.photos, (photo) => photo.id);
    byId("photo-strip").hidden = state.photos.length === 0;
    shown.forEach(({ button }, place) => {
      const current = state.photos[place].id === state.photo;
      button.setAttribute("aria-current", String(current));
      button.tabIndex = current ? 0 : -1;
      if (current && last !== state.photo) button.scrollIntoView({ block: "nearest", inline: "nearest" });
    });
    last = state.photo;
  });
}

/** Show a blob, or nothing. */
function picture(image, blob) {
  image.hidden = !blob;
  if (blob && image.src !== addressOf(blob)) image.src = addressOf(blob);
}
