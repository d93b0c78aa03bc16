/** Keys of the heatmap. */

import type { End } from "../app";
import type { Keys } from "../shell/keys";
import type { Commands } from "./controls";
import type { Panel } from "./panel";

export function bindKeys(panel: Panel, commands: Commands, keys: Keys, say: (text: string) => void): End {
  const group = "Heatmap";
  const ends = [
    keys.on({ keys: ["h"], group, what: "Go to the heatmap", run: () => panel.surface.focus() }),
    keys.on({
      keys: ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"],
      shift: false,
      group,
      what: "Move the picture, or the crosshair",
      run: ({ key }) => {
        panel.arrow(
          key === "ArrowLeft" ? -1 : key === "ArrowRight" ? 1 : 0,
          key === "ArrowUp" ? 1 : key === "ArrowDown" ? -1 : 0,
        );
      },
    }),
    keys.on({ keys: ["+", "="], group, what: "Zoom in in time", run: () => commands.zoomTime(1) }),
    keys.on({ keys: ["-"], group, what: "Zoom out in time", run: () => commands.zoomTime(-1) }),
    keys.on({
      keys: ["ArrowUp"],
      shift: true,
      group,
      what: "Zoom in in price",
      run: () => commands.zoomPrice(1),
    }),
    keys.on({
      keys: ["ArrowDown"],
      shift: true,
      group,
      what: "Zoom out in price",
      run: () => commands.zoomPrice(-1),
    }),
    keys.on({ keys: ["f"], group, what: "Fit all prices", run: commands.fit }),
    keys.on({ keys: ["Home"], group, what: "Back to now", run: commands.home }),
    keys.on({ keys: ["c"], group, what: "Crosshair by arrow keys", run: () => panel.toggleCross() }),
    keys.on({ keys: ["Enter"], group, what: "Say what the crosshair reads", run: () => panel.sayCross() }),
    keys.on({ keys: ["Escape"], group, what: "Crosshair away", run: () => panel.toggleCross(false) }),
    keys.on({ keys: ["t"], group, what: "Table of the column", run: commands.table }),
    keys.on({ keys: ["s"], group, what: "Say what the heatmap shows", run: () => say(panel.summary()) }),
  ];
  return () => {
    for (const end of ends) end();
  };
}
