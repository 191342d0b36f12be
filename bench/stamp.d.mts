export function stampedData(bytes: number): { stamp: string; padding: string };
export function findStamp(buffer: Buffer, from?: number, end?: number): number;
export function writeStamp(buffer: Buffer, at: number, sentAtUs: number, sequence: number): void;
export function readSentAtUs(buffer: Buffer, at: number): number;
export function readSequence(buffer: Buffer, at: number): number;
