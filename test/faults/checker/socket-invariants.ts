import type { Subscribed } from '../ledger/records.js';
import { type Facts, mayReceive } from './facts.js';

/** I10: a socket client that resumes has received every event since it first subscribed. */
export function socketsMissNothing(facts: Facts): string[] {
  const { subscribed } = facts.ledger;
  if (subscribed.length === 0) return ['no socket subscribed'];
  const owners = new Set(subscribed.map(({ ownerId }) => ownerId));
  return [...owners].flatMap((owner) => {
    const own = subscribed.filter(({ ownerId }) => ownerId === owner);
    return [...gaps(own), ...missedEvents(facts, own)].map(
      (gap) => `the socket of ${owner} ${gap}`,
    );
  });
}

/** The log is kept for longer than any run, so every resume must succeed. */
const gaps = (own: readonly Subscribed[]): string[] =>
  own
    .filter(({ after, isRecovered }) => after !== null && !isRecovered)
    .map(({ after }) => `could not resume after ${after}`);

function missedEvents({ ledger, publications }: Facts, own: readonly Subscribed[]): string[] {
  // Until its first event a client cannot resume, so its last fresh subscription counts.
  const { at, ownerId, pattern } = own.findLast(({ after }) => after === null) ?? own[0]!;
  const received = new Set(
    ledger.pushed.filter((event) => event.ownerId === ownerId).map(({ eventId }) => eventId),
  );
  return publications.flatMap((publication) => {
    const { accepted, asked } = publication;
    if (!accepted || asked.at < at || !mayReceive(publication, { ownerId, events: [pattern] })) {
      return [];
    }
    return received.has(accepted.eventId) ? [] : [`never received ${accepted.eventId}`];
  });
}
