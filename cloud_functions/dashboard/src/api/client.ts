import type {Page} from "./types";

/** Error of a request: the problem details (RFC 9457) of the answer, or status 0 if there was not an answer. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly title: string,
    readonly problems: readonly string[],
  ) {
    super(problems.length ? problems.join("; ") : title);
  }
}

export interface Listed<T> {
  items: T[];
  /** True if the server has more items than were loaded. */
  truncated: boolean;
}

export type Query = Record<string, string | number | undefined>;

const MAX_CACHED = 200;
const MAX_PAGES = 10;

/**
 * Client of API v1. GET answers are kept with their ETag: an unchanged answer costs a 304 and returns the same object,
 * so that a view that polls is drawn again only after a change.
 */
export class Client {
  private readonly answers = new Map<string, {etag: string; value: unknown}>();
  private readonly lists = new Map<string, {pages: unknown[]; value: Listed<unknown>}>();

  constructor(
    private readonly base: string,
    private readonly token: () => string | null,
    private readonly onUnauthorized: () => void,
    private readonly fetcher: typeof fetch = (...parameters) => fetch(...parameters),
  ) {}

  /** Return the answer of a GET request. */
  async get<T>(path: string, query: Query = {}, signal?: AbortSignal): Promise<T> {
    const url = this.base + path + queryText(query);
    const known = this.answers.get(url);
    const headers: Record<string, string> = known ? {"If-None-Match": known.etag} : {};
    const response = await this.request("GET", url, headers, undefined, signal);
    if (response.status === 304 && known) return known.value as T;
    const value = (await response.json()) as T;
    const etag = response.headers.get("ETag");
    this.answers.delete(url);
    if (etag) this.answers.set(url, {etag, value});
    for (const oldest of this.answers.keys()) {
      if (this.answers.size <= MAX_CACHED) break;
      this.answers.delete(oldest);
    }
    return value;
  }

  /** Return the items of a list, following its cursors; an unchanged list is the same object as before. */
  async list<T>(path: string, query: Query = {}, signal?: AbortSignal, maxPages = MAX_PAGES): Promise<Listed<T>> {
    const pages: Page<T>[] = [];
    let cursor: string | undefined;
    do {
      const page: Page<T> = await this.get<Page<T>>(path, {...query, cursor}, signal);
      pages.push(page);
      cursor = page.next;
    } while (cursor !== undefined && pages.length < maxPages);
    const key = path + queryText(query);
    const known = this.lists.get(key);
    if (known && known.pages.length === pages.length && known.pages.every((page, at) => page === pages[at])) {
      return known.value as Listed<T>;
    }
    const value = {items: pages.flatMap((page) => page.items), truncated: cursor !== undefined};
    if (this.lists.size > MAX_CACHED) this.lists.clear();
    this.lists.set(key, {pages, value});
    return value;
  }

  /** Send a request that changes something; return its JSON answer, or null if it is empty. */
  async send<T>(method: "POST" | "PUT" | "DELETE", path: string, body?: unknown, match?: string): Promise<T> {
    const headers: Record<string, string> = match === undefined ? {} : match === "*" ? {"If-None-Match": "*"} : {"If-Match": match};
    const response = await this.request(method, this.base + path, headers, body);
    const text = await response.text();
    return (text ? JSON.parse(text) : null) as T;
  }

  private async request(
    method: string, url: string, headers: Record<string, string>, body?: unknown, signal?: AbortSignal,
  ): Promise<Response> {
    const token = this.token();
    const sent: Record<string, string> = {Accept: "application/json", ...headers};
    if (token) sent["Authorization"] = `Bearer ${token}`;
    if (body !== undefined) sent["Content-Type"] = "application/json";
    let response: Response;
    try {
      // The browser's own cache would turn a 304 into a 200; tokens are sent as a header, never as a cookie.
      response = await this.fetcher(url, {
        method, headers: sent, cache: "no-store", credentials: "omit", signal: signal ?? null,
        body: body === undefined ? null : JSON.stringify(body),
      });
    } catch (error) {
      if (error instanceof DOMException && error.name === "AbortError") throw error;
      throw new ApiError(0, "The API cannot be reached", []);
    }
    if (response.ok || response.status === 304) return response;
    if (response.status === 401) this.onUnauthorized();
    throw await problemOf(response);
  }
}

/** Return the pattern that matches exactly this name. */
export function exactly(name: string): string {
  return name.replace(/[*?[]/g, "[$&]");
}

/** Return `?name=value&...` of the defined parameters, or an empty text. */
export function queryText(query: Query): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== "") parameters.set(name, String(value));
  }
  const text = parameters.toString();
  return text && `?${text}`;
}

async function problemOf(response: Response): Promise<ApiError> {
  let title = `The API answered with status ${response.status}`;
  let problems: string[] = [];
  try {
    const problem = (await response.json()) as {title?: unknown; detail?: unknown; problems?: unknown};
    if (typeof problem.title === "string") title = problem.title;
    if (Array.isArray(problem.problems)) problems = problem.problems.map(describe);
    else if (typeof problem.detail === "string") problems = [problem.detail];
  } catch {
    // Not JSON: the status is all there is.
  }
  return new ApiError(response.status, title, problems);
}

function describe(problem: unknown): string {
  return typeof problem === "string" ? problem : JSON.stringify(problem);
}
