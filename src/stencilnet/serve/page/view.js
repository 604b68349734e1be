/**
 * Zoom and pan as arithmetic. Lengths are CSS pixels of the stage, scales are those per pixel of the picture.
 *
 * @typedef {{width: number, height: number}} Size
 * @typedef {{scale: number, x: number, y: number}} View Where the picture's top left corner is, and its scale.
 */

/** Small pictures are enlarged up to here to fill the stage. */
const MOST_FIT = 4;
const MOST_ZOOM = 16;

export const fitScale = (picture, stage) =>
  Math.min(stage.width / picture.width, stage.height / picture.height, MOST_FIT);

/** The whole picture, in the middle. */
export const fitted = (picture, stage) => clamped({ scale: fitScale(picture, stage), x: 0, y: 0 }, picture, stage);

export const isFitted = (view, picture, stage) => view.scale <= fitScale(picture, stage) * 1.0001;

/** Whether the whole picture is seen, so that there is nothing to pan. */
export const isWhole = (view, picture, stage) =>
  picture.width * view.scale < stage.width + 1 && picture.height * view.scale < stage.height + 1;

/** The view scaled by a factor, with the picture's point under `point` staying there. */
export function zoomed(view, factor, point, picture, stage) {
  const least = fitScale(picture, stage);
  const scale = Math.min(Math.max(view.scale * factor, least), Math.max(MOST_ZOOM, least));
  const ratio = scale / view.scale;
  const x = point.x - (point.x - view.x) * ratio;
  const y = point.y - (point.y - view.y) * ratio;
  return clamped({ scale, x, y }, picture, stage);
}

export const panned = (view, dx, dy, picture, stage) =>
  clamped({ ...view, x: view.x + dx, y: view.y + dy }, picture, stage);

/** The view with no more margin than needed: a picture smaller than the stage is in its middle. */
export function clamped(view, picture, stage) {
  const along = (offset, shown, space) =>
    shown <= space ? (space - shown) / 2 : Math.min(0, Math.max(space - shown, offset));
  return {
    scale: view.scale,
    x: along(view.x, picture.width * view.scale, stage.width),
    y: along(view.y, picture.height * view.scale, stage.height),
  };
}

/** The part of the stage that the picture covers: the slider moves within it. */
export function seen(view, picture, stage) {
  return {
    left: Math.max(0, view.x),
    right: Math.min(stage.width, view.x + picture.width * view.scale),
    top: Math.max(0, view.y),
    bottom: Math.min(stage.height, view.y + picture.height * view.scale),
  };
}
