import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TidingsClient } from '../src/client.js';
import { AT_ONCE, MemoryServer, settled } from './memory-server.js';

type Step =
  'publish' | 'replay' | 'live' | 'cut' | 'welcome' | 'finish handler' | 'new client' | 'late';

const step = (...others: Step[]): fc.Arbitrary<Step> =>
  fc.oneof(
    { weight: 4, arbitrary: fc.constant('publish' as const) },
    { weight: 6, arbitrary: fc.constantFrom('replay' as const, 'live' as const) },
    { weight: 2, arbitrary: fc.constantFrom('welcome' as const, 'finish handler' as const) },
    { weight: 1, arbitrary: fc.constantFrom('cut' as const, ...others) },
  );

/** Many steps, to combine several conditions in one run. */
const steps = (...others: Step[]) => fc.array(step(...others), { maxLength: 120, size: 'max' });

interface Course {
  windowSize: number;
  isOrderly: boolean;
  overlap: number;
  /** The overlap with which the client resumes; time is counted in steps. */
  overlapMs?: number;
  /** Whether handlers are asynchronous; then steps of the test finish them. */
  isSlow: boolean;
}

/** A server, and one client after the other, each of which resumes where the last one stopped. */
class Scene {
  readonly server = new MemoryServer();
  readonly handled: string[] = [];
  private finishHandler: (() => void) | undefined;
  private client: TidingsClient;
  private isSlow: boolean;

  constructor(private readonly course: Course) {
    Object.assign(this.server, { isOrderly: course.isOrderly, overlap: course.overlap });
    this.isSlow = course.isSlow;
    this.client = this.start('evt_0');
  }

  async run(steps: readonly Step[]): Promise<void> {
    for (const step of steps) {
      this.take(step);
      await settled();
    }
  }

  /** Delivers all frames that are waiting. */
  async finish(): Promise<void> {
    this.isSlow = false;
    for (let idle = 0; idle < 3;) {
      await settled();
      this.finishHandler?.();
      this.server.welcome();
      const hasCome = this.server.deliver('replay') || this.server.deliver('live');
      idle = hasCome ? 0 : idle + 1;
    }
    const { isOrderly } = this.course;
    if (isOrderly && this.course.overlapMs === undefined)
      expect(this.client.lastEventId).toBe(this.server.log.at(-1)?.id ?? 'evt_0');
    this.client.close();
  }

  private take(step: Step): void {
    switch (step) {
      case 'publish':
        return void this.server.publish();
      case 'replay':
      case 'live':
        return void this.server.deliver(step);
      case 'welcome':
        return this.server.welcome();
      case 'cut':
        return this.server.cut();
      case 'late':
        return this.server.delay();
      case 'finish handler':
        return this.finishHandler?.();
      case 'new client':
        this.client.close();
        this.client = this.start(this.client.lastEventId!);
    }
  }

  private start(after: string): TidingsClient {
    const { windowSize, overlapMs = 0 } = this.course;
    const url = 'http://localhost';
    const backoff = { maxMs: 1 };
    const options = { url, transport: this.server, after, windowSize, overlapMs, backoff };
    const client = new TidingsClient(options, AT_ONCE);
    client.subscribe(['*'], ({ id }) => {
      this.handled.push(id);
      if (!this.isSlow) return undefined;
      return new Promise<void>((resolve) => (this.finishHandler = resolve));
    });
    return client;
  }
}

const inOrder = (count: number) => Array.from({ length: count }, (_, n) => `evt_${n + 1}`);

describe('with replayed and live events, repetitions and cuts in any order', () => {
  it('each event is handled once, in the order of first arrival', async () => {
    await fc.assert(
      fc.asyncProperty(steps(), fc.nat(5), fc.boolean(), async (course, overlap, isSlow) => {
        const scene = new Scene({ windowSize: 1_000, isOrderly: false, overlap, isSlow });
        await scene.run(course);
        await scene.finish();
        expect(scene.handled).toEqual([...new Set(scene.server.sent)]);
        expect(scene.handled.toSorted()).toEqual(inOrder(scene.server.log.length).toSorted());
      }),
      { numRuns: 150 },
    );
  });

  it('a small window is enough for a server that replays before it sends live events', async () => {
    const windowSize = fc.integer({ min: 3, max: 8 });
    await fc.assert(
      fc.asyncProperty(steps(), windowSize, fc.boolean(), async (course, windowSize, isSlow) => {
        const scene = new Scene({ windowSize, isOrderly: true, overlap: 2, isSlow });
        await scene.run(course);
        await scene.finish();
        expect(scene.handled).toEqual(inOrder(scene.server.log.length));
      }),
      { numRuns: 150 },
    );
  });

  it('an event that was late when the connection ended arrives on the next connection', async () => {
    await fc.assert(
      fc.asyncProperty(steps('late'), async (course) => {
        const scene = new Scene({
          windowSize: 1_000,
          isOrderly: true,
          overlap: 2,
          overlapMs: 5_000,
          isSlow: false,
        });
        await scene.run(course);
        scene.server.cut();
        await scene.finish();
        expect(scene.handled.toSorted()).toEqual(inOrder(scene.server.log.length).toSorted());
      }),
      { numRuns: 150 },
    );
  });

  it('an application that stores lastEventId misses nothing after a restart', async () => {
    await fc.assert(
      fc.asyncProperty(steps('new client'), fc.boolean(), async (course, isSlow) => {
        const scene = new Scene({ windowSize: 1_000, isOrderly: false, overlap: 2, isSlow });
        await scene.run(course);
        await scene.finish();
        expect(new Set(scene.handled)).toEqual(new Set(inOrder(scene.server.log.length)));
      }),
      { numRuns: 150 },
    );
  });
});
