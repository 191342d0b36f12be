export const WEBHOOKS: number;
export function groupOf(sequence: number, fanOut: number): number;

export class Receipts {
  received: number;
  duplicates: number;
  misdirected: number;
  begin(first: number, fanOut: number, excluded?: readonly number[]): void;
  record(sequence: number, webhook: number): void;
  missing(events: number, refused: readonly number[]): number;
}
