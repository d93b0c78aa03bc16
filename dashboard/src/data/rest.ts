/** REST on the own origin. */
import type { Answer, ProblemDetails } from "./types";

export type Params = Record<string, string | number | readonly string[] | null | undefined>;

/** The API refused or could not: its problem, or what stands for one where no answer came. */
export class Problem extends Error {
  constructor(
    readonly details: ProblemDetails,
    /** Seconds after which to ask again, where the API says so. */
    readonly retryAfter: number | null = null,
  ) {
    super(details.detail || details.title);
    this.name = "Problem";
  }

  get code(): string {
    return this.details.code;
  }

  get status(): number {
    return this.details.status;
  }

  /** Whether the same request may succeed later without a change: nothing came, too many, or something is away. */
  get isPassing(): boolean {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

export interface RestOptions {
  base?: string;
  /** The key to send, null: none. */
  key?: () => string | null;
  fetch?: typeof fetch;
}

export class Rest {
  constructor(private readonly options: RestOptions = {}) {}

  /** An answer with `data`, `page` and `meta`. Throws Problem, and what `signal` aborts with. */
  async answer<T>(path: string, params: Params = {}, signal?: AbortSignal): Promise<Answer<T>> {
    return (await this.send("GET", path, params, undefined, signal)) as Answer<T>;
  }

  /** Page after page of a range. */
  async *pages<T>(path: string, params: Params = {}, signal?: AbortSignal): AsyncGenerator<Answer<T>> {
    let cursor: string | null = null;
    do {
      const page: Answer<T> = await this.answer<T>(path, { ...params, cursor }, signal);
      yield page;
      cursor = page.page.has_more ? page.page.next_cursor : null;
    } while (cursor !== null);
  }

  async get<T>(path: string, params: Params = {}, signal?: AbortSignal): Promise<T> {
    return (await this.send("GET", path, params, undefined, signal)) as T;
  }

  async post<T>(path: string, body: unknown, signal?: AbortSignal): Promise<T> {
    return (await this.send("POST", path, {}, body, signal)) as T;
  }

  async patch<T>(path: string, body: unknown, signal?: AbortSignal): Promise<T> {
    return (await this.send("PATCH", path, {}, body, signal)) as T;
  }

  async remove(path: string, signal?: AbortSignal): Promise<void> {
    await this.send("DELETE", path, {}, undefined, signal);
  }

  /** An answer that is an object a line (/v1/replay). */
  async lines(path: string, signal?: AbortSignal): Promise<unknown[]> {
    const response = await this.ask("GET", path, undefined, signal);
    const text = await whole(response.text(), signal);
    return text.split("\n").flatMap((line) => (line ? [JSON.parse(line) as unknown] : []));
  }

  private async send(
    method: string,
    path: string,
    params: Params,
    body: unknown,
    signal?: AbortSignal,
  ): Promise<unknown> {
    const response = await this.ask(method, path + query(params), body, signal);
    return response.status === 204 ? null : whole(response.json() as Promise<unknown>, signal);
  }

  private async ask(method: string, path: string, body: unknown, signal?: AbortSignal): Promise<Response> {
    const headers: Record<string, string> = { Accept: "application/json" };
    const key = this.options.key?.() ?? null;
    if (key !== null) headers["Authorization"] = `Bearer ${key}`;
    if (body !== undefined) headers["Content-Type"] = "application/json";
    const init: RequestInit = { method, headers };
    if (body !== undefined) init.body = JSON.stringify(body);
    if (signal) init.signal = signal;
    let response: Response;
    try {
      response = await (this.options.fetch ?? fetch)((this.options.base ?? "") + path, init);
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new Problem(unheard("no answer: the API or the network is away"));
    }
    if (response.ok) return response;
    throw await problemOf(response);
  }
}

/** A body to its end; one that breaks off is no answer. */
async function whole<T>(body: Promise<T>, signal?: AbortSignal): Promise<T> {
  try {
    return await body;
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Problem(unheard("the answer broke off"));
  }
}

/** `?a=1&b=2&b=3`; what is null or undefined is left out. */
export function query(params: Params): string {
  const made = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    if (value === null || value === undefined) continue;
    for (const one of Array.isArray(value) ? value : [value]) made.append(name, String(one));
  }
  const text = made.toString();
  return text ? `?${text}` : "";
}

async function problemOf(response: Response): Promise<Problem> {
  const after = Number(response.headers.get("Retry-After"));
  const wait = Number.isFinite(after) && after > 0 ? after : null;
  try {
    const details = (await response.json()) as ProblemDetails;
    if (typeof details.code === "string") return new Problem({ ...details, status: response.status }, wait);
  } catch {
    // A proxy's page, not the API's problem.
  }
  return new Problem({ ...unheard(`HTTP ${response.status}`), status: response.status }, wait);
}

function unheard(detail: string): ProblemDetails {
  return {
    type: "about:blank",
    title: "no answer",
    status: 0,
    detail,
    code: "no_answer",
    correlation_id: "",
  };
}
