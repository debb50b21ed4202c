import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { loadConfig } from '../src/config/load.ts';
import { InfrastructureError } from '../src/pipeline/errors.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

/** One import: which file, and what it names; a file of ours by its path from the root, else a package. */
interface Import {
  file: string;
  target: string;
  ours: boolean;
}

/**
 * The rooms of the house and what each may import of the others, by folder or by file of src/. A room may
 * always import its own; `everything` leaves out main.ts, which nobody imports.
 */
const mayImport: Record<string, readonly string[] | 'everything'> = {
  // What wires the rest.
  'main.ts': ['commands'],
  commands: 'everything',
  'process.ts': 'everything',
  demo: ['config', 'http', 'import', 'rules', 'store', 'switches', 'tms'],
  doctor: ['config', 'store', 'pipeline', 'switches', 'overrides.ts'],
  // What a notice passes.
  http: [
    'config',
    'metrics.ts',
    'services.ts',
    'rules',
    'store',
    'tms',
    'pipeline',
    'switches',
    'failures',
    // How a CSV is cut into its records, and read ahead.
    'import/parse.ts',
    'import/read-ahead.ts',
    'import/records.ts',
  ],
  actors: [
    'config/topology.ts',
    'notify.ts',
    'services.ts',
    'rules',
    'store',
    'tms',
    'pipeline',
    'switches',
    'failures/retryName.ts',
    'failures/record.ts',
  ],
  legacy: [
    'notify.ts',
    'pause.ts',
    'services.ts',
    'rules',
    'store',
    'tms',
    'pipeline',
    'switches',
    'failures/retryName.ts',
    'failures/record.ts',
  ],
  'notify.ts': ['services.ts', 'rules', 'store', 'tms', 'pipeline'],
  'orderFeed.ts': ['actors', 'config', 'pipeline', 'rules', 'store'],
  'services.ts': ['config', 'rules', 'store', 'tms'],
  import: ['rules', 'store'],
  // What failed: what developers do about it.
  failures: ['pause.ts', 'config/topology.ts', 'rules', 'store', 'pipeline', 'masking.ts'],
  alerts: ['pause.ts', 'config', 'masking.ts', 'metrics.ts', 'store', 'pipeline', 'tms/retryAfter.ts'],
  // What knows only the rules, and how to say that a server is away.
  store: [
    'rules',
    'failures/fingerprint.ts',
    'failures/retryName.ts',
    'pipeline/errors.ts',
    'switches/history.ts',
    'switches/path.ts',
  ],
  tms: ['rules', 'pipeline/errors.ts'],
  // What tells of the pipeline.
  'observer.ts': ['pipeline'],
  // What somebody says of it in ZooKeeper.
  'overrides.ts': ['config', 'pipeline', 'switches'],
  'metrics.ts': ['pipeline'],
  // What knows nothing of ours.
  pipeline: [],
  switches: [],
  rules: [],

  config: ['masking.ts'],
  stack: [],
  'log.ts': ['masking.ts'],
  'masking.ts': [],
  'pause.ts': [],
};

/** Packages that only one place in src/ may know. */
const fences: Record<string, string> = {
  amqplib: 'src/pipeline/broker/',
  nact: 'src/pipeline/',
  pg: 'src/store/',
  'node-zookeeper-client': 'src/switches/zookeeper.ts',
  '@openfeature/server-sdk': 'src/switches/openfeature.ts',
};

describe('the house', () => {
  const sources = filesOf('src');
  const imports = sources.flatMap(importsOf);

  it('is read by these tests', () => {
    assert(sources.length > 50 && imports.length > 200, `${sources.length} files, ${imports.length} imports`);
    assert(imports.some(({ file, target }) => file === 'src/process.ts' && target === 'src/store/store.ts'));
  });

  it('has a rule for every room', () => {
    const unknown = new Set(sources.map(roomOf).filter((room) => !(room in mayImport)));
    assert.deepEqual(
      [...unknown],
      [],
      'say in this file (and in the drawing of the house) what they may import',
    );
    const gone = Object.keys(mayImport).filter((room) => !existsSync(join(root, 'src', room)));
    assert.deepEqual(gone, [], 'these rooms are no more: remove their rules');
  });

  it('has no arrow that is not drawn', () => {
    const offenders = imports.filter(({ file, target, ours }) => ours && !isAllowed(file, target));
    assert.deepEqual(offenders.map(shown), []);
  });

  it('keeps each server behind one door', () => {
    const offenders = imports.filter(({ file, target, ours }) => {
      const place = ours ? undefined : fences[packageOf(target)];
      return place !== undefined && !file.startsWith(place);
    });
    assert.deepEqual(offenders.map(shown), []);
    for (const name of Object.keys(fences))
      assert(
        imports.some(({ target, ours }) => !ours && packageOf(target) === name),
        `${name} is imported nowhere: remove its fence`,
      );
  });

  it('has SQL in src/store only', () => {
    const offenders = sources
      .filter((file) => !file.startsWith('src/store/'))
      .filter((file) => /\b(?:query|rows)(?:<[^(]*>)?\(\s*['"`]/.test(read(file)));
    assert.deepEqual(offenders, []);
  });

  it('has a main.ts that nobody imports', () => {
    const everybody = ['src', 'test', 'bench', 'scripts', 'examples'].flatMap(filesOf).flatMap(importsOf);
    assert.deepEqual(everybody.filter(({ target }) => target === 'src/main.ts').map(shown), []);
  });

  it('has one file in src/actors for each step of config/, of that name, and no other', () => {
    const { steps } = loadConfig({ env: {} });
    // Not passed by notices: failures empties the failed queues of all steps, orders takes in the shop's orders.
    const others = ['src/actors/failures.ts', 'src/actors/orders.ts'];
    const actors = filesOf('src/actors').filter((file) => !others.includes(file));
    assert.deepEqual(
      actors.toSorted(),
      Object.keys(steps)
        .map((step) => `src/actors/${step}.ts`)
        .toSorted(),
    );
  });

  it('asks for every switch of config/', () => {
    const texts = sources.map(read);
    const unused = Object.keys(loadConfig({ env: {} }).switches).filter(
      (name) => !texts.some((text) => text.includes(`'${name}'`)),
    );
    assert.deepEqual(unused, [], 'remove these from config/, or use them');
  });

  it('is loaded once in tests: a class imported later is the same class', async () => {
    const later = (await import(new URL('../src/pipeline/errors.ts', import.meta.url).href)) as object;
    assert.equal((later as { InfrastructureError: unknown }).InfrastructureError, InfrastructureError);
  });
});

function filesOf(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((file) => /\.m?[jt]s$/.test(file) && !file.endsWith('.d.ts') && !file.includes('node_modules'))
    .map((file) => `${folder}/${file}`);
}

function read(file: string): string {
  return readFileSync(join(root, file), 'utf8');
}

/** Finds what a file imports, statically or not, types included. */
function importsOf(file: string): Import[] {
  const text = read(file);
  const patterns = [
    /^(?:import|export)\b[^;'"]*?\bfrom\s+['"]([^'"]+)['"]/gm,
    /^import\s+['"]([^'"]+)['"]/gm,
    /\bimport\(\s*['"]([^'"]+)['"]/g,
  ];
  return patterns
    .flatMap((pattern) => [...text.matchAll(pattern)])
    .map(([, named = '']) => {
      const ours = named.startsWith('.');
      const target = ours ? relative(root, join(root, dirname(file), named)) : named;
      return { file, target, ours };
    });
}

/** The folder of src/ that a file lies in, or the file itself where it lies in none. */
function roomOf(file: string): string {
  return file.split('/')[1] ?? file;
}

function isAllowed(file: string, target: string): boolean {
  if (target === 'src/main.ts') return false;
  if (roomOf(file) === roomOf(target)) return true;
  const allowed = mayImport[roomOf(file)] ?? [];
  return allowed === 'everything' || allowed.some((each) => within(target, `src/${each}`));
}

const within = (file: string, place: string) => file === place || file.startsWith(`${place}/`);

const packageOf = (named: string) =>
  named
    .split('/')
    .slice(0, named.startsWith('@') ? 2 : 1)
    .join('/');

const shown = ({ file, target }: Import) => `${file} imports ${target}`;
