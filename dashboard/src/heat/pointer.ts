/** Mouse, touch and wheel on the picture: drag to pan, wheel or two fingers to zoom, hover or tap for the crosshair. */

import type { End } from "../app";

/** CSS pixels of the surface. */
export interface Point {
  readonly x: number;
  readonly y: number;
}

export interface Moves {
  /** Null: the pointer has left. */
  cross(at: Point | null): void;
  pan(dx: number, dy: number): void;
  zoomTime(by: number, x: number): void;
  zoomPrice(by: number, y: number): void;
}

/** Wheel or finger travel of one step of zoom, CSS pixels. */
const WHEEL_STEP = 60;
const PINCH_STEP = 40;

export function listen(surface: HTMLElement, moves: Moves): End {
  const abort = new AbortController();
  const options = { signal: abort.signal };
  const pointers = new Map<number, Point>();
  let wheel = 0;
  let pinch = 0;
  const place = (event: MouseEvent): Point => {
    const box = surface.getBoundingClientRect();
    // Within its border, as the canvases lie.
    const [left, top] = [box.left + surface.clientLeft, box.top + surface.clientTop];
    return { x: event.clientX - left, y: event.clientY - top };
  };
  surface.addEventListener(
    "pointerdown",
    (event) => {
      surface.setPointerCapture(event.pointerId);
      pointers.set(event.pointerId, place(event));
      moves.cross(place(event));
    },
    options,
  );
  surface.addEventListener(
    "pointermove",
    (event) => {
      const at = place(event);
      const former = pointers.get(event.pointerId);
      if (!former) return moves.cross(at);
      if (pointers.size === 1) moves.pan(former.x - at.x, at.y - former.y);
      else pinch = pinched(pointers, event.pointerId, at, pinch, moves);
      pointers.set(event.pointerId, at);
      moves.cross(pointers.size === 1 ? at : null);
    },
    options,
  );
  const lift = (event: PointerEvent): void => {
    pointers.delete(event.pointerId);
    pinch = 0;
  };
  surface.addEventListener("pointerup", lift, options);
  surface.addEventListener("pointercancel", lift, options);
  surface.addEventListener("pointerleave", () => moves.cross(null), options);
  surface.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      const { x, y } = place(event);
      if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) return moves.pan(event.deltaX, 0);
      wheel += event.deltaY;
      const steps = Math.trunc(wheel / WHEEL_STEP);
      if (!steps) return;
      wheel -= steps * WHEEL_STEP;
      if (event.shiftKey || event.ctrlKey) moves.zoomPrice(-steps, y);
      else moves.zoomTime(-steps, x);
    },
    { ...options, passive: false },
  );
  return () => abort.abort();
}

/** Fingers that part in x zoom time, those that part in y the price. What is left of the travel. */
function pinched(
  pointers: ReadonlyMap<number, Point>,
  id: number,
  at: Point,
  travelled: number,
  moves: Moves,
): number {
  const former = pointers.get(id)!;
  const other = [...pointers].find(([one]) => one !== id)![1];
  const isTime = Math.abs(at.x - other.x) >= Math.abs(at.y - other.y);
  const distance = (from: Point): number =>
    isTime ? Math.abs(from.x - other.x) : Math.abs(from.y - other.y);
  const travel = travelled + distance(at) - distance(former);
  const steps = Math.trunc(travel / PINCH_STEP);
  if (steps && isTime) moves.zoomTime(steps, (at.x + other.x) / 2);
  else if (steps) moves.zoomPrice(steps, (at.y + other.y) / 2);
  return travel - steps * PINCH_STEP;
}
