import { expect } from 'vitest';

/** An answer as far as the tests need it; `body` is parsed JSON, or null. */
export interface Answer {
  status: number;
  headers: Headers;
  body: Json;
}

/** The members of the API's answers that tests read; each answer has some of them. */
export interface Json {
  id: string;
  ids: string[];
  type: string;
  timestamp: string;
  accepted: number;
  duplicate: boolean;
  url: string;
  events: string[];
  secret: string;
  key: string;
  active: boolean;
  ownerId: string | null;
  eventId: string;
  webhookId: string;
  attemptCount: number;
  data: Json[];
  nextCursor: string | null;
  code: string;
  detail: string;
  errors: { field: string; message: string }[];
  attempts: {
    number: number;
    statusCode: number | null;
    durationMs: number;
    error: string | null;
    responseBody: string | null;
    at: string;
  }[];
  [member: string]: unknown;
}

/** The REST API with the token of one caller. Each method takes the expected status. */
export class ApiClient {
  constructor(
    private readonly baseUrl: string,
    private readonly token: string | undefined,
  ) {}

  as(token: string | undefined): ApiClient {
    return new ApiClient(this.baseUrl, token);
  }

  get(path: string, status = 200): Promise<Json> {
    return this.expect(status, 'GET', path);
  }

  post(
    path: string,
    body: unknown,
    status: number,
    headers?: Record<string, string>,
  ): Promise<Json> {
    return this.expect(status, 'POST', path, body, headers);
  }

  patch(path: string, body: unknown, status = 200): Promise<Json> {
    return this.expect(status, 'PATCH', path, body);
  }

  delete(path: string, status = 204): Promise<Json> {
    return this.expect(status, 'DELETE', path);
  }

  /** Registers a webhook and returns it, secret included. Receivers are shared, so a URL may be, too. */
  webhook(url: string, events: string[], more: object = {}): Promise<Json> {
    return this.post('/webhooks', { url, events, allowDuplicateUrl: true, ...more }, 201);
  }

  /** Publishes an event and returns the API's answer. */
  publish(event: object, headers?: Record<string, string>): Promise<Json> {
    return this.post('/events', { data: {}, ...event }, 202, headers);
  }

  /** Sends one request, without expectations. A string body is sent unchanged. */
  async request(
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ): Promise<Answer> {
    const isRooted = path.startsWith('//');
    const response = await fetch(`${this.baseUrl}${isRooted ? path.slice(1) : `/api/v1${path}`}`, {
      method,
      headers: {
        ...(this.token !== undefined && { authorization: `Bearer ${this.token}` }),
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    return { status: response.status, headers: response.headers, body: parse(text) };
  }

  private async expect(
    status: number,
    method: string,
    path: string,
    body?: unknown,
    headers?: Record<string, string>,
  ): Promise<Json> {
    const answer = await this.request(method, path, body, headers);
    expect(answer.status, `${method} ${path}: ${JSON.stringify(answer.body)}`).toBe(status);
    return answer.body;
  }
}

function parse(text: string): Json {
  try {
    return JSON.parse(text) as Json;
  } catch {
    return { text } as unknown as Json;
  }
}
