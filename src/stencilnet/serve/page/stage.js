/** The picture: photo and answer over each other, a slider between them, zoom and pan. */

import { addressOf, byId, percentText } from "./dom.js";
import { chosenTask, resultOf, shownPhoto } from "./model.js";
import { clamped, fitted, isFitted, isWhole, panned, seen, zoomed } from "./view.js";

const ZOOM_STEP = 1.5;
const PAN_STEP = 60;
/** From here on, pixels are shown as squares. */
const SHARP = 3;

/**
 * @param {import("./store.js").Store<import("./model.js").State>} store
 * @returns {{zoomIn: () => void, zoomOut: () => void, fit: () => void}}
 */
export function mountStage(store) {
  const stage = byId("stage");
  const before = byId("before");
  const after = byId("after");
  const slider = byId("slider");
  /** @type {import("./model.js").Photo | null} */
  let photo = null;
  let view = { scale: 1, x: 0, y: 0 };
  let size = { width: 0, height: 0 };
  let wasFitted = true;

  function place(next) {
    view = next;
    wasFitted = isFitted(view, photo, size);
    for (const image of [before, after]) {
      image.style.transform = `translate(${view.x}px, ${view.y}px) scale(${view.scale})`;
      image.style.imageRendering = view.scale * devicePixelRatio >= SHARP ? "pixelated" : "auto";
    }
    byId("zoom").textContent = `${Math.round(100 * view.scale * devicePixelRatio)} %`;
    stage.classList.toggle("pannable", !isWhole(view, photo, size));
    moveSplit();
  }

  /** Show the answer right of the slider, the photo left of it. */
  function moveSplit() {
    const edges = seen(view, photo, size);
    const share = slider.value / slider.max;
    const split = edges.left + share * (edges.right - edges.left);
    for (const [name, length] of Object.entries({ ...edges, split })) stage.style.setProperty(`--${name}`, `${length}px`);
    slider.setAttribute("aria-valuetext", `${percentText(share)} before`);
  }

  const change = (next) => photo && place(next);
  const zoom = (factor, point = { x: size.width / 2, y: size.height / 2 }) =>
    change(photo && zoomed(view, factor, point, photo, size));
  const pan = (dx, dy) => change(photo && panned(view, dx, dy, photo, size));
  const fit = () => change(photo && fitted(photo, size));

  new ResizeObserver(() => {
    size = { width: stage.clientWidth, height: stage.clientHeight };
    if (wasFitted) fit();
    else change(photo && clamped(view, photo, size));
  }).observe(stage);

  slider.addEventListener("input", () => photo && moveSplit());
  listenToPointers(stage, {
    zoom,
    pan,
    drag: (x, dx, dy) => {
      if (!photo || slider.hidden || !isWhole(view, photo, size)) return pan(dx, dy);
      const { left, right } = seen(view, photo, size);
      slider.value = (slider.max * (x - left)) / (right - left);
      moveSplit();
    },
  });
  stage.addEventListener("dblclick", () => (wasFitted ? zoom(1 / view.scale / devicePixelRatio) : fit()));
  stage.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (!step || event.target !== stage) return;
    event.preventDefault();
    pan(PAN_STEP * step[0], PAN_STEP * step[1]);
  });

  store.subscribe((state) => {
    const next = shownPhoto(state);
    if (next && next !== photo) {
      const same = photo && next.width === photo.width && next.height === photo.height;
      photo = next;
      for (const image of [before, after]) {
        image.width = photo.width;
        image.height = photo.height;
      }
      show(before, photo.file);
      before.alt = photo.name;
      if (same) place(view);
      else fit();
    }
    if (next) showAnswer(state, next, { stage, after, slider });
  });

  return { zoomIn: () => zoom(ZOOM_STEP), zoomOut: () => zoom(1 / ZOOM_STEP), fit };
}

/** Show the chosen task's answer; until it is there, that of the small copy. */
function showAnswer(state, photo, { stage, after, slider }) {
  const task = chosenTask(state);
  const full = task && resultOf(state, photo, task.name, "full");
  const small = task && resultOf(state, photo, task.name, "small");
  const best = [full, small].find((result) => result?.status === "done" && !result.labels) ?? null;
  const failure = full?.status === "failed" ? full.message : "";
  slider.hidden = !best || Boolean(failure);
  stage.classList.toggle("compared", !slider.hidden);
  stage.setAttribute("aria-busy", String(full?.status === "busy"));
  byId("busy").hidden = full?.status !== "busy";
  byId("busy-text").textContent = full?.note || (task ? `${task.title} is running` : "");
  byId("failure").hidden = !failure;
  byId("failure-text").textContent = failure;
  if (slider.hidden) return;
  show(after, best.blob);
  after.alt = `${task.title} of ${photo.name}`;
  byId("after-name").textContent = task.title;
}

function show(image, blob) {
  const address = addressOf(blob);
  if (image.src !== address) image.src = address;
}

/** Drag by one pointer, pinch by two, zoom by the wheel. */
function listenToPointers(stage, { zoom, pan, drag }) {
  /** @type {Map<number, {x: number, y: number}>} */
  const pointers = new Map();
  const point = (event) => {
    const box = stage.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };
  const span = () => {
    const [one, other] = pointers.values();
    return {
      length: Math.hypot(one.x - other.x, one.y - other.y),
      x: (one.x + other.x) / 2,
      y: (one.y + other.y) / 2,
    };
  };

  stage.addEventListener("pointerdown", (event) => {
    if (event.target.closest("button, input") || event.button !== 0) return;
    stage.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, point(event));
  });
  stage.addEventListener("pointermove", (event) => {
    const last = pointers.get(event.pointerId);
    if (!last) return;
    const now = point(event);
    if (pointers.size === 1) {
      pointers.set(event.pointerId, now);
      drag(now.x, now.x - last.x, now.y - last.y);
    } else {
      const was = span();
      pointers.set(event.pointerId, now);
      const is = span();
      zoom(is.length / was.length, is);
      pan(is.x - was.x, is.y - was.y);
    }
  });
  for (const end of ["pointerup", "pointercancel"])
    stage.addEventListener(end, (event) => pointers.delete(event.pointerId));
  stage.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1;
      // Pinches of a touch pad arrive as small steps with the control key.
      zoom(Math.exp(-event.deltaY * lines * (event.ctrlKey ? 0.01 : 0.002)), point(event));
    },
    { passive: false },
  );
}
