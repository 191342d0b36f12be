import { once } from 'node:events';
import { type ClientRequest, get, type IncomingMessage } from 'node:http';

/** How long a frame may take; longer than anything takes on a busy machine. */
const TIMEOUT_MS = 15_000;

/** One block of a stream, as `EventSource` reads it. */
export interface StreamedEvent {
  event: string;
  id?: string;
  retry?: string;
  data: Record<string, unknown>;
}

/** Parses server-sent events by the rules of WHATWG HTML, 9.2.6, and stores them. */
export class EventStreamReader {
  private readonly events: StreamedEvent[] = [];
  private readonly waiting = new Set<() => void>();
  private rest = '';
  /** Lines that begin with a colon. */
  comments = 0;
  /** Settles when the stream has ended. */
  readonly closed: Promise<void>;

  private constructor(
    private readonly request: ClientRequest,
    readonly response: IncomingMessage,
  ) {
    response.setEncoding('utf8');
    response.on('data', (chunk: string) => this.take(chunk));
    response.on('error', () => undefined);
    this.closed = new Promise((resolve) => void response.once('close', () => resolve()));
  }

  /** Connects, and fails if the answer is not an event stream. */
  static async open(url: string, headers: Record<string, string>): Promise<EventStreamReader> {
    const request = get(url, { headers, agent: false });
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    const type = response.headers['content-type'];
    if (!type?.startsWith('text/event-stream')) {
      throw new Error(`${response.statusCode} ${type}`);
    }
    return new EventStreamReader(request, response);
  }

  /** The oldest event of this name that was not returned yet; waits for it. */
  async next(name: string): Promise<StreamedEvent> {
    const deadline = AbortSignal.timeout(TIMEOUT_MS);
    for (;;) {
      const index = this.events.findIndex(({ event }) => event === name);
      if (index !== -1) return this.events.splice(index, 1)[0]!;
      await new Promise<void>((resolve, reject) => {
        this.waiting.add(resolve);
        const missing = () => reject(new Error(`no ${name}, but ${JSON.stringify(this.events)}`));
        deadline.addEventListener('abort', missing, { once: true });
      });
    }
  }

  /** The ids of all events up to this one, which is the last: no others were sent. */
  async eventsUntil(id: string): Promise<string[]> {
    const ids: string[] = [];
    while (ids.at(-1) !== id) ids.push((await this.next('event')).id!);
    return ids;
  }

  close(): void {
    this.request.destroy();
  }

  private take(chunk: string): void {
    const blocks = (this.rest + chunk).split('\n\n');
    this.rest = blocks.pop()!;
    for (const block of blocks) this.dispatch(block.split('\n'));
    for (const resolve of this.waiting) resolve();
    this.waiting.clear();
  }

  private dispatch(lines: string[]): void {
    const fields: Record<string, string> = {};
    for (const line of lines) {
      const [, name = '', value = ''] = /^([^:]*):? ?(.*)$/s.exec(line)!;
      if (name === '') this.comments++;
      else fields[name] = name in fields ? `${fields[name]}\n${value}` : value;
    }
    const { event = 'message', data, ...rest } = fields;
    if (data === undefined) return;
    this.events.push({ event, ...rest, data: JSON.parse(data) as Record<string, unknown> });
  }
}
