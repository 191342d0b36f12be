import { Injectable } from '@nestjs/common';
import { GroupCommit } from '../../database/group-commit.js';
import { PostgresClient } from '../../database/postgres.client.js';
import type { Attempt } from './attempt.service.js';
import { type AttemptMark, MARK_ATTEMPTS, MARKS } from './outcome.statements.js';

/**
 * Marks of attempts that are in flight. A worker that crashes leaves them behind, so that the next
 * one counts what the receiver has seen.
 */
@Injectable()
export class AttemptMarksStore {
  private readonly marks: GroupCommit<AttemptMark, void>;

  constructor(postgres: PostgresClient) {
    this.marks = new GroupCommit<AttemptMark, void>({
      write: async (marks) => {
        await postgres.run(MARK_ATTEMPTS, MARKS.values(marks));
        return marks.map(() => undefined);
      },
      now: () => performance.now(),
    });
  }

  /** Settles when all are durable. */
  async write(attempts: readonly Pick<Attempt, 'members' | 'startedAtMs'>[]): Promise<void> {
    const marks = attempts.flatMap(({ members, startedAtMs }) =>
      members.map((task) => ({ task, startedAtMs })),
    );
    await Promise.all(marks.map((mark) => this.marks.add(mark)));
  }
}
