import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Table, words } from "../../src/shell/tables";

/** As much of an element as a table needs. */
class Fake {
  readonly children: Fake[] = [];
  readonly names = new Set<string>();
  readonly classList = {
    add: (name: string) => this.names.add(name),
    remove: (name: string) => this.names.delete(name),
  };
  hidden = false;
  textContent = "";
  className = "";

  get rows(): Fake[] {
    return this.children;
  }
  get cells(): Fake[] {
    return this.children;
  }
  get lastElementChild() {
    return { remove: () => this.children.pop() };
  }
  setAttribute(name: string): void {
    if (name === "hidden") this.hidden = true;
  }
  append(...more: (Fake | string)[]): void {
    for (const one of more)
      if (typeof one === "string") this.textContent += one;
      else this.children.push(one);
  }
  insertRow = (): Fake => this.made();
  insertCell = (): Fake => this.made();
  private made(): Fake {
    const one = new Fake();
    this.children.push(one);
    return one;
  }
}

beforeEach(() => void vi.stubGlobal("document", { createElement: () => new Fake() }));
afterEach(() => void vi.unstubAllGlobals());

function made(): { table: Table; root: Fake; said: () => string | null } {
  const table = new Table("Letters", [words("Code")], "There are none.");
  const root = table.root as unknown as Fake;
  const state = root.children.at(-1)!;
  return { table, root, said: () => (state.hidden ? null : state.textContent) };
}

test("a table says that there is nothing only after an answer, and if that was all", () => {
  const { table, said } = made();
  expect(said()).toBeNull();
  table.show([], false);
  expect(said()).toBeNull();
  table.show([]);
  expect(said()).toBe("There are none.");
  table.show([[words("a")]]);
  expect(said()).toBeNull();
});

test("a table to which no answer came says so, of what is old and of what never came", () => {
  const { table, root, said } = made();
  table.failed(new Error("Kafka does not answer."));
  expect(said()).toBe("This is not known: Kafka does not answer.");
  table.show([[words("a")]]);
  expect([said(), root.names.has("stale")]).toEqual([null, false]);
  table.failed(new Error("Kafka does not answer"));
  expect([said(), root.names.has("stale")]).toEqual(["This is old: Kafka does not answer.", true]);
});
