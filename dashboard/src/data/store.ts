/** A value that tells when it changes. */
export class Store<T> {
  private readonly listeners = new Set<(value: T) => void>();

  constructor(private held: T) {}

  get value(): T {
    return this.held;
  }

  set(value: T): void {
    if (Object.is(value, this.held)) return;
    this.held = value;
    for (const listener of [...this.listeners]) listener(value);
  }

  /** Change some fields of an object. */
  patch(part: Partial<T>): void {
    this.set({ ...this.held, ...part });
  }

  /** Be told now and at each change; the function returned ends it. */
  watch(listener: (value: T) => void): () => void {
    this.listeners.add(listener);
    listener(this.held);
    return () => this.listeners.delete(listener);
  }
}
