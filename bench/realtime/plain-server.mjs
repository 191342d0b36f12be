/**
 * The server to compare with: Socket.IO as in its documentation, which broadcasts an object to one
 * room. It has no stores and no HTTP: it creates the events that it sends.
 */
import { createServer } from 'node:http';
import { Server } from 'socket.io';
import { serve } from '../child.mjs';
import { nowUs } from '../clock.mjs';
import { startMetronome } from '../metronome.mjs';
import { stampedData } from '../stamp.mjs';

const ROOM = 'all';

const http = createServer();
const io = new Server(http, { serveClient: false });
io.on('connection', (socket) => socket.join(ROOM));

/** @typedef {{ dataBytes: number; deliveriesPerEvent: number; maxPending?: number; ratePerS?: number }} Run */
/** @type {Run} */
let run;
let isRunning = false;
let events = 0;
let received = 0;
/**
 * Sends events that are late, one per turn of the event loop: otherwise a machine that is too slow for
 * the rate would do nothing else, and would not receive the command to stop.
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
function broadcastUpToLimit() {
  if (!isRunning) return;
  if (events * run.deliveriesPerEvent - received >= (run.maxPending ?? Infinity)) return;
  broadcast(nowUs());
  setImmediate(broadcastUpToLimit);
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
    if (ratePerS === undefined) return broadcastUpToLimit();
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

  /** @param {number} messages of this run that have arrived */
  received(messages) {
    const wasFull = events * run.deliveriesPerEvent - received >= (run.maxPending ?? Infinity);
    received = messages;
    if (wasFull && run.ratePerS === undefined) broadcastUpToLimit();
  },

  async stop() {
    isRunning = false;
    await stopMetronome();
    return { events, refused: [] };
  },
});
