import type { Subscribed } from '../ledger/records.js';
import { type Facts, canSubscribe } from './facts.js';

/** I10: a socket client that goes on where it was has heard everything since it came first. */
export function socketsMissNothing(facts: Facts): string[] {
  const { subscribed } = facts.ledger;
  if (subscribed.length === 0) return ['nobody listened'];
  const owners = new Set(subscribed.map(({ ownerId }) => ownerId));
  return [...owners].flatMap((owner) => {
    const own = subscribed.filter(({ ownerId }) => ownerId === owner);
    return [...gaps(own), ...unheard(facts, own)].map((gap) => `the socket of ${owner} ${gap}`);
  });
}

/** The log remembers longer than any run lasts. */
const gaps = (own: readonly Subscribed[]): string[] =>
  own
    .filter(({ after, isRecovered }) => after !== null && !isRecovered)
    .map(({ after }) => `was not given what came after ${after}`);

function unheard({ ledger, publications }: Facts, own: readonly Subscribed[]): string[] {
  // Before it had heard anything, there was nothing to go on from.
  const { at, ownerId, pattern } = own.findLast(({ after }) => after === null) ?? own[0]!;
  const heard = new Set(
    ledger.heard.filter((event) => event.ownerId === ownerId).map(({ eventId }) => eventId),
  );
  return publications.flatMap((publication) => {
    const { accepted, asked } = publication;
    if (!accepted || asked.at < at || !canSubscribe(publication, { ownerId, events: [pattern] })) {
      return [];
    }
    return heard.has(accepted.eventId) ? [] : [`never heard ${accepted.eventId}`];
  });
}
