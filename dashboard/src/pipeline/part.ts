/** One question of the page: asked again and again by itself, so that the others do not wait for it. */
import type { End } from "../app";
import type { Rest } from "../data/rest";
import { poll } from "../shell/poll";
import type { Table } from "../shell/tables";

const EVERY_MS = 2_000;
const OLD_MS = 3 * EVERY_MS;

export class Part<T> {
  /** The newest answer; null: none, or none that still holds. */
  value: T | null = null;
  /** Why the last question has none. */
  error: unknown = null;
  /** When the last answer came, by performance.now(). */
  at: number | null = null;

  /** ``tables``: those that its answer fills. ``told``: an answer came, or none did. */
  constructor(
    private readonly rest: Pick<Rest, "get">,
    private readonly path: string,
    private readonly tables: readonly Pick<Table, "failed">[],
    private readonly told: () => void,
  ) {}

  begin(): End {
    return poll(
      EVERY_MS,
      (signal) => this.ask(signal),
      (error) => this.failed(error),
    );
  }

  async ask(signal: AbortSignal): Promise<void> {
    this.value = (await this.rest.get<{ data: T }>(this.path, {}, signal)).data;
    this.error = null;
    this.at = performance.now();
    this.told();
  }

  failed(error: unknown): void {
    this.error = error;
    this.lost(error);
  }

  /** An answer that no other follows grows old. */
  age(now: number): void {
    if (this.value !== null && this.at !== null && now - this.at > OLD_MS)
      this.lost(new Error("nothing has come for some seconds"));
  }

  private lost(why: unknown): void {
    this.value = null;
    this.tables.forEach((one) => one.failed(why));
    this.told();
  }
}
