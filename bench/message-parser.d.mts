export type OnMessage = (buffer: Buffer, start: number, body: number, end: number) => void;

export class MessageParser {
  constructor(onMessage: OnMessage);
  push(chunk: Buffer): void;
}
