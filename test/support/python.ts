import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { provide } from './installed-program.js';

const run = promisify(execFile);

/** The client libraries that people use from Python, and what they need to connect. */
const MODULES = ['websockets', 'websocket', 'socketio', 'requests'];

/** Finds a Python that has the libraries. @returns the program */
export const pythonWithClients = (): Promise<string> =>
  provide({
    what: 'Python with clients of WebSockets and Socket.IO',
    packages: [
      'python3',
      'python3-websockets',
      'python3-websocket',
      'python3-socketio',
      'python3-requests',
    ],
    help:
      'Set PYTHON to one, or install them: ' +
      'pip install websockets websocket-client "python-socketio[client]"',
    find,
  });

async function find(): Promise<string | undefined> {
  const { PYTHON } = process.env;
  // Debian's packages are for its own Python, which another one on the PATH may hide.
  for (const python of [...(PYTHON ? [PYTHON] : []), 'python3', '/usr/bin/python3']) {
    const has = await run(python, ['-c', `import ${MODULES.join(', ')}`]).then(
      () => true,
      () => false,
    );
    if (has) return python;
  }
  return undefined;
}
