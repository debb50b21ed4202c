// Brings a fresh clone to where it can run: the only code that may run before the dependencies are there.
//
//   node scripts/bootstrap.mjs start [args]   installs and builds what is missing or old, then runs the demo
//   node scripts/bootstrap.mjs test [args]    installs likewise, then runs the tests
//   node scripts/bootstrap.mjs install        installs likewise
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const path = (...parts) => join(root, ...parts);
const installedStamp = path('node_modules', '.chodang-lock');
const builtStamp = path('dist', '.chodang-build');

const [what, ...args] = process.argv.slice(2);
checkNode();
if (what === 'install') await prepare();
else if (what === 'start') {
  await prepare({ build: true });
  await handOver(path('dist', 'main.js'), ['demo', ...args]);
} else if (what === 'test') {
  await prepare();
  await handOver(process.execPath, [path('node_modules', 'mocha', 'bin', 'mocha.js'), ...args]);
} else fail(`expected start, test or install, and not "${what}"`);

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major > 20 || (major === 20 && minor >= 19)) return;
  fail(`Node ${process.versions.node} is too old, 20.19 or newer is needed: https://nodejs.org/en/download`);
}

/** Installs and builds what is missing or old. Two that start at once wait for each other. */
async function prepare({ build = false } = {}) {
  const release = await lock();
  if (!isNoted(installedStamp, lockHash())) {
    rmSync(installedStamp, { force: true });
    await stage('installing dependencies', [
      'ci',
      '--include=dev',
      '--no-audit',
      '--no-fund',
      '--loglevel=error',
    ]);
    writeFileSync(installedStamp, lockHash());
  }
  if (build && !isNoted(builtStamp, sourceHash())) {
    const hash = sourceHash();
    rmSync(path('dist'), { recursive: true, force: true });
    await stage('building', ['run', 'build']);
    writeFileSync(builtStamp, hash);
  }
  release();
}

/** An install or a build that was cut off leaves no note, and is done again. */
function isNoted(stamp, hash) {
  return existsSync(stamp) && readFileSync(stamp, 'utf8') === hash;
}

function lockHash() {
  const machine = `${process.platform} ${process.arch}`; // some packages are made for one
  return createHash('sha256')
    .update(machine)
    .update(readFileSync(path('package-lock.json')))
    .digest('hex');
}

function sourceHash() {
  const hash = createHash('sha256');
  const sources = readdirSync(path('src'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .toSorted();
  const settings = ['package-lock.json', 'tsconfig.json', 'tsconfig.build.json'].map((name) => path(name));
  for (const file of [...settings, ...sources]) hash.update(file).update('\0').update(readFileSync(file));
  return hash.digest('hex');
}

/** Runs npm with one line on the terminal, and shows what it said only if it fails. */
async function stage(title, npmArgs) {
  process.stderr.write(`${title} …\n`);
  const cli = process.env.npm_execpath ?? '';
  const [command, ...first] = basename(cli) === 'npm-cli.js' ? [process.execPath, cli] : ['npm'];
  const child = spawn(command, [...first, ...npmArgs], { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
  const output = [];
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => output.push(data));
  const { code, signal } = await ended(child);
  if (code === 0) return;
  process.stderr.write(Buffer.concat(output));
  fail(`${title}: "npm ${npmArgs.join(' ')}" ended with ${signal ?? code}`);
}

/** Runs a program of ours in our place: its terminal, its signals, its exit code are ours. */
async function handOver(command, commandArgs) {
  const { code, signal } = await ended(spawn(command, commandArgs, { cwd: root, stdio: 'inherit' }));
  if (signal) process.kill(process.pid, signal);
  else process.exitCode = code;
}

/** Waits for a child to end, and passes on to it the signals that we get meanwhile. */
async function ended(child) {
  const passOn = (signal) => {
    // Ctrl-C in a terminal reaches the child anyway, and a second one would mean "at once".
    if (signal !== 'SIGINT' || !process.stdin.isTTY) child.kill(signal);
  };
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'];
  for (const signal of signals) process.on(signal, passOn);
  try {
    return await new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code, signal) => resolve({ code, signal }));
    });
  } finally {
    for (const signal of signals) process.off(signal, passOn);
  }
}

/** Keeps others out until it is given back or we end. Where there is no `flock` (util-linux), nobody is kept out. */
async function lock() {
  mkdirSync(path('.chodang'), { recursive: true });
  const holder = spawn('flock', [path('.chodang', 'bootstrap.lock'), 'sh', '-c', 'echo held; exec cat'], {
    stdio: ['pipe', 'pipe', 'ignore'],
    detached: true,
  });
  await new Promise((resolve) => {
    holder.stdout.once('data', resolve);
    holder.once('error', resolve);
    holder.once('close', resolve);
  });
  return () => holder.stdin.end();
}

function fail(message) {
  process.stderr.write(`chodang: ${message}\n`);
  process.exit(1);
}
