export const OPCODES: { TEXT: number; PING: number; PONG: number; CLOSE: number };

export type OnFrame = (opcode: number, buffer: Buffer, start: number, end: number) => void;

export class FrameParser {
  constructor(onFrame: OnFrame);
  push(chunk: Buffer): void;
}

export function clientFrame(opcode: number, text: string): Buffer;
