/**
 * What everything is compared with: Socket.IO as its documentation shows it, one room, an object
 * broadcast to it. No product, no stores, no HTTP: events are made where they are sent.
 */
import { createServer } from 'node:http';
import { Server } from 'socket.io';
import { serve } from '../child.mjs';
import { nowUs } from '../clock.mjs';
import { startMetronome } from '../metronome.mjs';
import { stampedData } from '../stamp.mjs';

const ROOM = 'everybody';

const http = createServer();
const io = new Server(http, { serveClient: false });
io.on('connection', (socket) => socket.join(ROOM));

/** @typedef {{ dataBytes: number; owedPerEvent: number; maxOwed?: number; ratePerS?: number }} Run */
/** @type {Run} */
let run;
let isRunning = false;
let events = 0;
let received = 0;
/**
 * Events that are late. One per turn of the event loop: a machine that is too slow for the rate would
 * otherwise do nothing else, and would not even be told to stop.
 */
let due = 0;
/** @type {() => Promise<unknown>} */
let stopMetronome = () => Promise.resolve();

/** @param {number} sentAtUs */
function broadcast(sentAtUs) {
  const data = stampedData(run.dataBytes);
  const digits = String(Math.floor(sentAtUs)).padStart(16, '0');
  data.stamp = `bench@${digits}.${String(events).padStart(10, '0')}`;
  events += 1;
  const timestamp = new Date().toISOString();
  io.to(ROOM).emit('event', { id: `evt_${events}`, type: 'bench.live.00', timestamp, data });
}

/** One event per turn, so that sockets are read and written in between. */
function broadcastWhatIsAllowed() {
  if (!isRunning) return;
  if (events * run.owedPerEvent - received >= (run.maxOwed ?? Infinity)) return;
  broadcast(nowUs());
  setImmediate(broadcastWhatIsAllowed);
}

serve({
  listen: () =>
    new Promise((resolve) => {
      http.listen(0, '127.0.0.1', () => {
        const { port } = /** @type {import('node:net').AddressInfo} */ (http.address());
        resolve({ host: '127.0.0.1', port });
      });
    }),

  /** @param {Run} options */
  start(options) {
    run = options;
    events = 0;
    received = 0;
    isRunning = true;
    const { ratePerS } = run;
    if (ratePerS === undefined) return broadcastWhatIsAllowed();
    const intervalUs = 1e6 / ratePerS;
    const startUs = nowUs() + 100_000;
    due = 0;
    const broadcastWhatIsDue = () => {
      if (!isRunning || due === 0) return;
      broadcast(startUs + events * intervalUs);
      due -= 1;
      setImmediate(broadcastWhatIsDue);
    };
    stopMetronome = startMetronome(startUs, intervalUs, () => {
      due += 1;
      if (due === 1) setImmediate(broadcastWhatIsDue);
    });
  },

  /** @param {number} messages that have arrived of this run */
  received(messages) {
    const wasFull = events * run.owedPerEvent - received >= (run.maxOwed ?? Infinity);
    received = messages;
    if (wasFull && run.ratePerS === undefined) broadcastWhatIsAllowed();
  },

  async stop() {
    isRunning = false;
    await stopMetronome();
    return { events, refused: [] };
  },
});
