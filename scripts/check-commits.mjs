/**
 * Checks the first lines of commit messages, one per line of the standard input, against the
 * convention in CONTRIBUTING.md.
 *
 *   git log --no-merges --format=%s origin/main.. | npm run --silent commits
 */
import { text } from 'node:stream/consumers';

const TYPES = 'feat|fix|perf|refactor|docs|test|build|ci|chore|bench|revert';
const SUBJECT = new RegExp(`^(?:${TYPES})(?:\\([a-z0-9-]+\\))?!?: \\S.*[^.\\s]$`);
const MAX_LENGTH = 110;

const subjects = (await text(process.stdin)).split('\n').filter(Boolean);
const faulty = subjects.filter((line) => !SUBJECT.test(line) || line.length > MAX_LENGTH);

for (const subject of faulty) console.error(`not as CONTRIBUTING.md says: ${subject}`);
console.log(`${subjects.length} commit messages, ${faulty.length} of them faulty`);
process.exitCode = faulty.length > 0 ? 1 : 0;
