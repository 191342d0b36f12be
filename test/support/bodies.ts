import { expect } from 'vitest';
import type { Answer } from './api-client.js';

/** The bodies of the API's answers, as far as tests read them. */
export interface WebhookBody {
  id: string;
  ownerId: string | null;
  url: string;
  events: string[];
  headers: string[];
  active: boolean;
  updatedAt: string;
  /** Only after creation and rotation. */
  secret: string;
}

export interface EventBody {
  id: string;
  type: string;
  timestamp: string;
  data: unknown;
  ownerId: string | null;
  createdAt: string;
}

export interface DeliveryBody {
  id: string;
  eventId: string;
  webhookId: string;
  status: string;
}

export interface PageBody<T> {
  data: T[];
  nextCursor: string | null;
}

export interface ProblemBody {
  type: string;
  title: string;
  status: number;
  detail: string;
  code: string;
  errors?: { field: string; message: string }[];
}

/** An answer's body under its type: `await read<EventBody>(api.get('/events/…'))`. */
export const read = async <T>(answer: Promise<unknown>): Promise<T> => (await answer) as T;

/**
 * Expects a problem document (RFC 9457) with everything that the contract promises.
 * @param field that must be among the invalid fields
 */
export function expectProblem(answer: Answer, status: number, field?: string): ProblemBody {
  const problem: unknown = answer.body;
  expect(answer.status, `answered: ${JSON.stringify(problem)}`).toBe(status);
  expect(answer.headers.get('content-type')).toMatch(/^application\/problem\+json/);
  expect(problem).toMatchObject({
    type: expect.any(String),
    title: expect.stringMatching(/\S/),
    status,
    detail: expect.stringMatching(/\S/),
    code: expect.stringMatching(/^[a-z_]+$/),
  });
  const { errors } = problem as ProblemBody;
  if (field !== undefined) expect(errors?.map((error) => error.field)).toContain(field);
  return problem as ProblemBody;
}

/** Every item of a list, over all its pages. */
export async function everyPage<T>(
  get: (query: string) => Promise<unknown>,
  limit = 200,
): Promise<T[]> {
  const items: T[] = [];
  for (let cursor = ''; ;) {
    const page = (await get(`limit=${limit}${cursor}`)) as PageBody<T>;
    items.push(...page.data);
    if (page.nextCursor === null) return items;
    cursor = `&cursor=${page.nextCursor}`;
  }
}
