/** Keyboard commands, each with its words for the help dialog. */
import type { End } from "../app";

export interface Command {
  /** KeyboardEvent.key values: " ", "ArrowLeft", "+", "h" (letters without regard to case). */
  keys: readonly string[];
  shift?: boolean;
  /** Heading in the help: "Heatmap", "Replay". */
  group: string;
  what: string;
  run: (event: KeyboardEvent) => void;
}

const SHOWN: Record<string, string> = {
  " ": "Space",
  ArrowLeft: "←",
  ArrowRight: "→",
  ArrowUp: "↑",
  ArrowDown: "↓",
  "-": "−",
};

/** What moves a slider; all other keys are the page's also while one has the focus. */
const MOVES = /^(Arrow|Page|Home$|End$)/;

export class Keys {
  private readonly commands: Command[] = [];

  /** The page's keys; those of a text field, a list or a slider stay theirs. */
  constructor(target: Pick<EventTarget, "addEventListener">) {
    target.addEventListener("keydown", (event) => this.pressed(event as KeyboardEvent));
  }

  /** All commands of a key run, in the order in which they came; the function returned takes this one away. */
  on(command: Command): End {
    this.commands.push(command);
    return () => {
      const at = this.commands.indexOf(command);
      if (at >= 0) this.commands.splice(at, 1);
    };
  }

  /** For the help dialog, in the order in which they came. */
  list(): readonly Command[] {
    return this.commands;
  }

  private pressed(event: KeyboardEvent): void {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (isTheirs(event.target, key)) return;
    const found = this.commands.filter(
      (one) => one.keys.includes(key) && (one.shift === undefined || one.shift === event.shiftKey),
    );
    if (found.length > 0) event.preventDefault();
    for (const one of found) one.run(event);
  }
}

/** "Space", "←", "H" for a KeyboardEvent.key. */
export function shown(key: string): string {
  return SHOWN[key] ?? (key.length === 1 ? key.toUpperCase() : key);
}

function isTheirs(target: EventTarget | null, key: string): boolean {
  if (!(target instanceof HTMLElement)) return false;
  if (target.closest("dialog[open]") !== null) return true;
  if (target.matches("select, textarea, [contenteditable]")) return true;
  if (target.matches("input[type=range]")) return MOVES.test(key);
  if (target.matches("input")) return !target.matches("[type=checkbox], [type=radio]") || key === " ";
  return target.matches("button, a, summary") && (key === " " || key === "Enter");
}
