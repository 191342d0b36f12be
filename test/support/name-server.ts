import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket as TcpSocket } from 'node:net';

/** What the server says of a name; undefined: nothing at all. */
export type NameReply =
  | { addresses: string[]; ttl?: number; after?: Promise<void> }
  | { code: 'NXDOMAIN' | 'SERVFAIL' | 'REFUSED'; after?: Promise<void> }
  | undefined;

export interface Question {
  name: string;
  type: 'A' | 'AAAA';
}

const RCODES = { NXDOMAIN: 3, SERVFAIL: 2, REFUSED: 5 };
const MAX_UDP_BYTES = 512;
const TRUNCATED = 0x0200;

/** A real name server on a free port of 127.0.0.1, over UDP and TCP, for A and AAAA. */
export class NameServer {
  readonly questions: Question[] = [];
  private isClosed = false;
  private readonly connections = new Set<TcpSocket>();

  private constructor(
    private readonly udp: Socket,
    private readonly tcp: Server,
    private readonly reply: (question: Question, count: number) => NameReply,
  ) {}

  /** @param reply the answer to a question; `count`: how often it was asked, from 1 */
  static async start(reply: (question: Question, count: number) => NameReply): Promise<NameServer> {
    const tcp = createServer();
    await once(tcp.listen(0, '127.0.0.1'), 'listening');
    const { port } = tcp.address() as AddressInfo;
    const udp = createSocket('udp4');
    udp.bind(port, '127.0.0.1');
    await once(udp, 'listening');
    const server = new NameServer(udp, tcp, reply);
    udp.on('message', (query, { port: to, address }) =>
      server.answer(query, (answer) => {
        udp.send(answer.length > MAX_UDP_BYTES ? truncated(query) : answer, to, address);
      }),
    );
    tcp.on('connection', (socket) => server.serve(socket));
    return server;
  }

  /** As `OUTBOUND_DNS_SERVERS` takes it. */
  get address(): string {
    return `127.0.0.1:${this.udp.address().port}`;
  }

  asked(name: string, type: Question['type'] = 'A'): number {
    return this.questions.filter((each) => each.name === name && each.type === type).length;
  }

  async close(): Promise<void> {
    this.isClosed = true;
    this.connections.forEach((socket) => socket.destroy());
    this.udp.close();
    await new Promise((resolve) => this.tcp.close(resolve));
  }

  private serve(socket: TcpSocket): void {
    this.connections.add(socket);
    socket.on('error', () => undefined);
    socket.once('data', (bytes) =>
      this.answer(bytes.subarray(2), (answer) => {
        const length = Buffer.alloc(2);
        length.writeUInt16BE(answer.length);
        socket.end(Buffer.concat([length, answer]));
      }),
    );
  }

  private answer(query: Buffer, send: (answer: Buffer) => void): void {
    const question = questionOf(query);
    if (!question) return;
    this.questions.push(question);
    const reply = this.reply(question, this.asked(question.name, question.type));
    if (!reply) return;
    const answer = (): void => void (this.isClosed || send(answerTo(query, question, reply)));
    if (reply.after) void reply.after.then(answer);
    else answer();
  }
}

const endOfQuestion = (query: Buffer): number => query.indexOf(0, 12) + 5;

function questionOf(query: Buffer): Question | undefined {
  const labels: string[] = [];
  let at = 12;
  for (let length = query[at]!; length > 0; length = query[at]!) {
    labels.push(query.toString('latin1', at + 1, at + 1 + length));
    at += length + 1;
  }
  const type = { 1: 'A', 28: 'AAAA' }[query.readUInt16BE(at + 1)] as Question['type'] | undefined;
  return type && { name: labels.join('.').toLowerCase(), type };
}

function head(query: Buffer, flags: number, answers: number): Buffer {
  const bytes = Buffer.alloc(12);
  query.copy(bytes, 0, 0, 2);
  bytes.writeUInt16BE(0x8180 | flags, 2);
  bytes.writeUInt16BE(1, 4);
  bytes.writeUInt16BE(answers, 6);
  return Buffer.concat([bytes, query.subarray(12, endOfQuestion(query))]);
}

const truncated = (query: Buffer): Buffer => head(query, TRUNCATED, 0);

function answerTo(query: Buffer, { type }: Question, reply: NonNullable<NameReply>): Buffer {
  if ('code' in reply) return head(query, RCODES[reply.code], 0);
  const records = reply.addresses
    .filter((address) => address.includes(':') === (type === 'AAAA'))
    .map((address) => recordOf(address, reply.ttl ?? 60));
  return Buffer.concat([head(query, 0, records.length), ...records]);
}

function recordOf(address: string, ttl: number): Buffer {
  const data = bytesOf(address);
  const record = Buffer.alloc(12);
  record.writeUInt16BE(0xc00c, 0);
  record.writeUInt16BE(data.length === 4 ? 1 : 28, 2);
  record.writeUInt16BE(1, 4);
  record.writeUInt32BE(ttl, 6);
  record.writeUInt16BE(data.length, 10);
  return Buffer.concat([record, data]);
}

/** Of an IPv6 address, only forms with at most one `::` and no IPv4 part. */
function bytesOf(address: string): Buffer {
  if (!address.includes(':')) return Buffer.from(address.split('.').map(Number));
  const [before = '', after = ''] = address.split('::');
  const groups = (part: string) => part.split(':').filter((group) => group !== '');
  const missing = 8 - groups(before).length - groups(after).length;
  const all = [...groups(before), ...Array<string>(missing).fill('0'), ...groups(after)];
  return Buffer.from(all.map((group) => group.padStart(4, '0')).join(''), 'hex');
}
