/** One feed for all panels, whose source may be changed under them: live, a replay, live again. */
import type { Channel } from "./records";
import type { Feed, Listener, Wanted } from "./types";

interface Held {
  wanted: Wanted & { channel: Channel };
  listener: Listener<Channel>;
  end: () => void;
}

export class SwitchFeed implements Feed {
  private readonly held = new Set<Held>();

  constructor(private source: Feed) {}

  subscribe<C extends Channel>(wanted: Wanted & { channel: C }, listener: Listener<C>): () => void {
    const one: Held = { wanted, listener: listener as Listener<Channel>, end: () => undefined };
    this.held.add(one);
    one.end = this.source.subscribe(one.wanted, one.listener);
    return () => {
      if (this.held.delete(one)) one.end();
    };
  }

  /** Everyone who listens is told `reset`, then the new source's snapshots. */
  change(source: Feed): void {
    if (source === this.source) return;
    for (const one of this.held) one.end();
    this.source = source;
    for (const one of [...this.held]) {
      one.listener({ type: "reset" });
      one.end = source.subscribe(one.wanted, one.listener);
    }
  }
}
