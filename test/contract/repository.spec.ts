import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';

interface Package {
  name: string;
  license: string;
  scripts: Record<string, string>;
}

interface Workflow {
  permissions: Record<string, string>;
  concurrency: { group: string };
  jobs: Record<string, Job>;
}

interface Job {
  'timeout-minutes': number;
  'runs-on': string;
  permissions?: unknown;
  steps: { uses?: string; run?: string; with?: Record<string, unknown> }[];
}

const read = (file: string) => readFileSync(file, 'utf8');
const json = (file: string): unknown => JSON.parse(read(file));

const main = json('package.json') as Package;
const client = json('clients/typescript/package.json') as Package;

const NOT_OURS = new Set(['node_modules', 'dist', 'coverage', '.git', '.tidings']);

/** All files below a directory that belong to the repository. */
function filesBelow(directory: string): string[] {
  return readdirSync(directory, { withFileTypes: true })
    .filter(({ name }) => !NOT_OURS.has(name))
    .flatMap((entry) => {
      const path = join(directory, entry.name);
      if (entry.isDirectory()) return filesBelow(path);
      return entry.isFile() ? [path] : [];
    });
}

const documents = filesBelow('.').filter((file) => file.endsWith('.md'));
const workflows = filesBelow('.github/workflows').filter((file) => /\.ya?ml$/.test(file));

/** Directories that a run creates. */
const MADE = new Set(['bench/results/']);

/** Every capture of a pattern, once. */
function found(text: string, pattern: RegExp): string[] {
  return [...new Set([...text.matchAll(pattern)].map((match) => match[1] ?? ''))];
}

/** Scripts that npm runs without `run`. */
const LIFECYCLE = ['start', 'test'];

/** The npm scripts that a text names. */
function scriptsIn(text: string): string[] {
  return [
    ...found(text, /\bnpm run (?:--?\S+ )*([\w:-]+)/g),
    ...LIFECYCLE.filter((name) => new RegExp(`\\bnpm ${name}\\b`).test(text)),
  ];
}

/** Code blocks may contain text that looks like links and headings. */
const withoutCode = (text: string) => text.replace(/^```[\s\S]*?^```/gm, '');

/** Relative targets of links: a path, perhaps with an anchor; or an anchor alone. */
const linksIn = (text: string) => found(withoutCode(text), /\]\((?!\w+:)([^)\s]+)[^)]*\)/g);

/** The anchors of a document, which GitHub derives from its headings. */
function anchorsIn(text: string): string[] {
  return found(withoutCode(text), /^#+ +(.+)$/gm).map((heading) =>
    heading
      .replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, '')
      .trim()
      .replace(/\s/g, '-'),
  );
}

function isBroken(document: string, link: string): boolean {
  const [path = '', anchor] = link.split('#', 2);
  const target = path === '' ? document : normalize(join(dirname(document), path));
  if (!existsSync(target)) return true;
  return (
    anchor !== undefined && target.endsWith('.md') && !anchorsIn(read(target)).includes(anchor)
  );
}

describe('the licence', () => {
  const { packages } = json('package-lock.json') as { packages: Record<string, Package> };
  const { info } = json('openapi.json') as { info: { license: { name: string; url: string } } };

  it('is the same in every package, in the lockfile, in the API document and in the image', () => {
    expect(main.license).toBe('MIT');
    expect(client.license).toBe(main.license);
    expect(packages['']?.license).toBe(main.license);
    expect(info.license).toEqual({ name: 'MIT', url: 'https://opensource.org/license/mit' });
    expect(read('Dockerfile')).toContain(`org.opencontainers.image.licenses=${main.license}\n`);
  });

  it('comes with the repository, and with the client library that is published from a folder', () => {
    expect(read('LICENSE')).toMatch(/^MIT License\n\nCopyright \(c\) 2026 The Tidings authors\n/);
    expect(read('clients/typescript/LICENSE')).toBe(read('LICENSE'));
  });
});

describe.each(documents)('%s', (document) => {
  const text = read(document);

  it('names only npm scripts that exist', () => {
    expect(scriptsIn(text).filter((name) => !(name in main.scripts))).toEqual([]);
  });

  it('links only to files and headings that exist', () => {
    expect(linksIn(text).filter((link) => isBroken(document, link))).toEqual([]);
  });

  it('names only source files that exist', () => {
    const paths = found(
      text,
      /`((?:src|test|bench|scripts|migrations|docs|deploy|\.ci|\.github)\/[\w./-]+\w\/?)`/g,
    );
    expect(paths.filter((path) => !MADE.has(path) && !existsSync(path))).toEqual([]);
  });
});

describe.each(workflows)('%s', (file) => {
  const text = read(file);
  const workflow = parse(text) as Workflow;
  const jobs = Object.entries(workflow.jobs);

  it('runs only npm scripts that exist', () => {
    const runs = jobs.flatMap(([, { steps }]) => steps.map(({ run = '' }) => run));
    const scripts = scriptsIn(runs.join('\n'));
    expect(scripts).not.toEqual([]);
    expect(scripts.filter((name) => !(name in main.scripts))).toEqual([]);
  });

  it('may only read the repository, and has timeouts', () => {
    expect(workflow.permissions).toEqual({ contents: 'read' });
    expect(workflow.concurrency.group).toContain('github.ref');
    for (const [name, job] of jobs) {
      expect(job.permissions, name).toBeUndefined();
      expect(job['timeout-minutes'], name).toBeLessThanOrEqual(30);
      expect(job['runs-on'], name).toMatch(/^ubuntu-\d+\.\d+$/);
    }
  });

  it('names actions by commit, and does not keep the token of a checkout', () => {
    const steps = jobs.flatMap(([, job]) => job.steps);
    const actions = steps.flatMap(({ uses }) => uses ?? []);
    expect(actions.filter((action) => !/@[0-9a-f]{40}$/.test(action))).toEqual([]);
    const checkouts = steps.filter(({ uses }) => uses?.startsWith('actions/checkout@'));
    expect(checkouts.filter((step) => step.with?.['persist-credentials'] !== false)).toEqual([]);
  });
});

describe('the workflow of CI', () => {
  const { jobs } = parse(read('.github/workflows/ci.yml')) as Workflow;
  const scripts = new Set(
    scriptsIn(
      Object.values(jobs)
        .flatMap(({ steps }) => steps.map(({ run = '' }) => run))
        .join('\n'),
    ),
  );

  it('runs every gate and every kind of test', () => {
    const wanted = ['check', 'test:unit', 'test:stores', 'test:faults', 'build:client'];
    expect(wanted.filter((name) => !scripts.has(name))).toEqual([]);
  });
});

describe('the configuration of tools', () => {
  it.each(filesBelow('.github/ISSUE_TEMPLATE'))('%s is YAML', (file) => {
    expect(parse(read(file))).toBeTypeOf('object');
  });

  it('opens the port in the devcontainer that the product listens on, on the Node of .nvmrc', () => {
    const container = json('.devcontainer/devcontainer.json') as {
      image: string;
      forwardPorts: number[];
    };
    const major = read('.nvmrc').split('.')[0];
    expect(container.image).toMatch(new RegExp(`:${major}-`));
    expect(container.forwardPorts).toEqual([
      Number(/^PORT=(\d+)$/m.exec(read('.env.example'))?.[1]),
    ]);
  });

  it('names in CODEOWNERS only paths that exist', () => {
    const paths = found(read('.github/CODEOWNERS'), /^(\/\S+)/gm);
    expect(paths.length).toBeGreaterThan(0);
    for (const path of paths) {
      expect(existsSync(`.${path}`), path).toBe(true);
      expect(statSync(`.${path}`).isDirectory(), path).toBe(path.endsWith('/'));
    }
  });

  it('groups in renovate.json only packages that are used', () => {
    const { packageRules } = json('renovate.json') as {
      packageRules: { matchPackageNames?: string[] }[];
    };
    const used = Object.keys((json('package-lock.json') as { packages: object }).packages).map(
      (path) => path.replace('node_modules/', ''),
    );
    const named = packageRules.flatMap(({ matchPackageNames = [] }) => matchPackageNames);
    const missing = named.filter((name) => {
      const prefix = name.endsWith('/**') ? name.slice(0, -2) : undefined;
      return !used.some((path) => (prefix ? path.startsWith(prefix) : path === name));
    });
    // The runtime, which is not an npm package.
    expect(missing).toEqual(['node']);
  });
});

describe('npm run commits', () => {
  const check = (...subjects: string[]) =>
    spawnSync(process.execPath, ['scripts/check-commits.mjs'], {
      input: subjects.map((subject) => `${subject}\n`).join(''),
      encoding: 'utf8',
    });

  it('accepts subjects of the convention', () => {
    const { status } = check(
      'feat(realtime): resume over event streams',
      'fix!: a retry is one row',
    );
    expect(status).toBe(0);
  });

  it('names every other subject', () => {
    const faulty = [
      'resume over event streams',
      'Feat: resume',
      'feature: resume',
      'feat(Realtime): resume',
      'feat: ends with a full stop.',
      'feat:no space',
      `feat: ${'a'.repeat(110)}`,
    ];
    const { status, stderr } = check('fix: a good one', ...faulty);
    expect(status).toBe(1);
    expect(stderr.trimEnd().split('\n')).toEqual(
      faulty.map((subject) => `not as CONTRIBUTING.md says: ${subject}`),
    );
  });
});

describe('the checks themselves', () => {
  it('find a script, a link and an anchor that do not exist', () => {
    expect(scriptsIn('`npm run --silent nothing` and npm test')).toEqual(['nothing', 'test']);
    const links = linksIn(
      '[a](README.md#use-it) [b](none.md) [c](README.md#none) [d](https://e.org)',
    );
    expect(links.filter((link) => isBroken('CHANGELOG.md', link))).toEqual([
      'none.md',
      'README.md#none',
    ]);
  });

  it('cover the documents at the root and below', () => {
    expect(documents).toEqual(
      expect.arrayContaining([
        'README.md',
        'SECURITY.md',
        'docs/decisions/README.md',
        'bench/README.md',
      ]),
    );
  });
});
