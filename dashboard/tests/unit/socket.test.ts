import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Clock } from "../../src/data/clock";
import { Socket } from "../../src/data/socket";

class FakeWebSocket {
  static readonly OPEN = 1;
  static last: FakeWebSocket;
  readonly readyState = 1;
  readonly sent: { op: string; id: number }[] = [];
  onmessage: ((event: { data: string }) => void) | null = null;
  onclose = null;

  constructor() {
    FakeWebSocket.last = this;
  }

  send(text: string): void {
    this.sent.push(JSON.parse(text));
  }

  close(): void {}

  say(message: object): void {
    this.onmessage?.({ data: JSON.stringify(message) });
  }
}

beforeEach(() => {
  vi.useFakeTimers();
  const listens = { addEventListener: () => undefined, removeEventListener: () => undefined };
  vi.stubGlobal("window", {
    ...globalThis,
    ...listens,
    setTimeout,
    setInterval,
    clearTimeout,
    clearInterval,
  });
  vi.stubGlobal("document", listens);
  vi.stubGlobal("WebSocket", FakeWebSocket);
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

function opened(): { socket: Socket; server: FakeWebSocket } {
  const socket = new Socket({ clock: new Clock(), url: "ws://x/" });
  FakeWebSocket.last.say({ type: "welcome", time: "2026-01-02T03:04:05.000000Z", must_authenticate: false });
  return { socket, server: FakeWebSocket.last };
}

function refuse(server: FakeWebSocket, name: string | null, code = "topics.missing"): void {
  const id = server.sent.at(-1)!.id;
  server.say({ type: "error", id, code, message: "its words", subscription: name });
}

function grant(server: FakeWebSocket, ...names: string[]): void {
  const subscriptions = names.map((subscription) => ({ subscription, resumed: false }));
  server.say({ type: "subscribed", id: server.sent.at(-1)!.id, subscriptions });
}

test("a refusal that has passed is no longer told, one of two that stays is", () => {
  const { socket, server } = opened();
  for (const channel of ["book", "trade"] as const)
    socket.subscribe({ channel, symbol: "A" }, () => undefined);
  vi.advanceTimersByTime(200);
  grant(server);
  refuse(server, "book:A");
  refuse(server, "trade:A");
  expect(socket.link.value.error?.code).toBe("topics.missing");
  vi.advanceTimersByTime(5_200);
  grant(server, "book:A");
  refuse(server, "trade:A");
  expect(socket.link.value.error?.code).toBe("topics.missing");
  vi.advanceTimersByTime(5_200);
  grant(server, "trade:A");
  expect(socket.link.value).toMatchObject({ state: "open", error: null });
  socket.close();
});

test("a refusal of what nobody wants any more is no longer told", () => {
  const { socket, server } = opened();
  const end = socket.subscribe({ channel: "book", symbol: "A" }, () => undefined);
  vi.advanceTimersByTime(200);
  refuse(server, "book:A");
  end();
  vi.advanceTimersByTime(200);
  expect(socket.link.value.error).toBeNull();
  socket.close();
});

test("a whole operation's refusal that has passed is no longer told", () => {
  const { socket, server } = opened();
  socket.subscribe({ channel: "book", symbol: "A" }, () => undefined);
  vi.advanceTimersByTime(200);
  refuse(server, null, "ws.too_many_operations");
  expect(socket.link.value.error?.code).toBe("ws.too_many_operations");
  vi.advanceTimersByTime(5_200);
  grant(server, "book:A");
  expect(socket.link.value.error).toBeNull();
  socket.close();
});
