/** A canvas that keeps the size of its place, in the screen's own pixels, and the theme's colours. */
import type { End } from "../app";

export interface Surface {
  canvas: HTMLCanvasElement;
  context: CanvasRenderingContext2D;
  /** CSS pixels. */
  width: number;
  height: number;
  /** A colour of the theme: `color("--bid")`. */
  color: (name: string) => string;
}

/** ``draw`` is called at each change of size or theme, and by ``redraw`` (once a frame at most). */
export function mountCanvas(
  root: HTMLElement,
  draw: (surface: Surface) => void,
): { surface: Surface; redraw: () => void; end: End } {
  const canvas = document.createElement("canvas");
  const context = canvas.getContext("2d");
  if (context === null) throw new Error("no canvas");
  root.append(canvas);
  const colors = new Map<string, string>();
  const color = (name: string): string => {
    const known = colors.get(name) ?? getComputedStyle(canvas).getPropertyValue(name).trim();
    colors.set(name, known);
    return known;
  };
  const surface: Surface = { canvas, context, width: 0, height: 0, color };
  let frame = 0;
  const redraw = (): void => {
    frame ||= requestAnimationFrame(() => {
      frame = 0;
      if (surface.width > 0 && surface.height > 0) draw(surface);
    });
  };
  const sizes = new ResizeObserver(() => {
    const ratio = window.devicePixelRatio || 1;
    surface.width = canvas.clientWidth;
    surface.height = canvas.clientHeight;
    canvas.width = Math.round(surface.width * ratio);
    canvas.height = Math.round(surface.height * ratio);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    redraw();
  });
  sizes.observe(canvas);
  const themes = new MutationObserver(() => {
    colors.clear();
    redraw();
  });
  themes.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  return {
    surface,
    redraw,
    end: () => {
      sizes.disconnect();
      themes.disconnect();
      cancelAnimationFrame(frame);
      canvas.remove();
    },
  };
}
