import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, fork } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, constants, mkdtempSync, openSync, rmSync } from 'node:fs';
import { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import type { Logger } from 'pino';
import { uuidv7 } from 'uuidv7';
import { openLog } from '../src/log.ts';
import { InfrastructureError } from '../src/pipeline/errors.ts';
import { until } from './support/wait.ts';

describe('the log', () => {
  let lines: string[];
  let log: Logger;
  beforeEach(() => {
    lines = [];
    log = openLog({ level: 'info', destination: { write: (line) => lines.push(line) } });
  });
  const last = () => JSON.parse(lines.at(-1) ?? '') as Record<string, unknown>;

  it('is one JSON object per line, with level and time in words and the fields as they were given', () => {
    const noticeId = uuidv7();
    log.warn({ noticeId, step: 'tms', orders: 7 }, 'orders wait');
    log.debug('not this one');
    assert.equal(lines.length, 1);
    assert.match(lines[0] ?? '', /^\{.*\}\n$/);
    const { level, time, msg, ...fields } = last();
    assert.deepEqual([level, msg], ['warn', 'orders wait']);
    assert.match(String(time), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    assert.equal(fields['noticeId'], noticeId);
    assert.deepEqual([fields['step'], fields['orders']], ['tms', 7]);
  });

  it('tells of an error with its class, message, stack and cause', () => {
    const cause = new Error('connect ECONNREFUSED 127.0.0.1:5432');
    log.error({ err: new InfrastructureError("Postgres can't be had", { cause }) }, 'away');
    const { err } = last() as { err: { type: string; message: string; stack: string } };
    assert.equal(err.type, 'InfrastructureError');
    assert.match(err.message, /Postgres can't be had/);
    assert.match(err.stack, /log\.test\.ts.*ECONNREFUSED/s);
  });

  describe('keeps to itself', () => {
    const phone = '+821012345678';
    const apiKey = `chd_${randomBytes(32).toString('base64url')}`;
    const otherKey = 'gateway-secret-1';
    const password = 'p4ssw0rd-Of_rabbit';
    const url = `amqp://chodang:${password}@127.0.0.1:5672/vhost`;
    const secrets = [phone, apiKey, otherKey, password];
    const telling = (text: string) => {
      const error = new Error(text, { cause: new Error(`because of ${text}`) });
      return Object.assign(error, { detail: `Failing row contains (s-1, ${text})` });
    };

    const places: [string, (secret: string) => void][] = [
      ['a message', (secret) => log.info(`it was ${secret}, alas`)],
      ['a field', (secret) => log.info({ what: secret }, 'm')],
      ['a field deep inside', (secret) => log.info({ a: { b: [{ c: `(${secret})` }] } }, 'm')],
      ['the name of a field', (secret) => log.info({ byName: { [secret]: 1 } }, 'm')],
      ['an error with its stack, cause and details', (secret) => log.error({ err: telling(secret) }, 'm')],
      ['an error that is all there is', (secret) => log.error(telling(secret))],
      ['the bindings of a child', (secret) => log.child({ secret }).info('m')],
      ['JSON inside of a text', (secret) => log.info({ body: JSON.stringify({ to: secret }) }, 'm')],
    ];
    for (const [place, write] of places)
      it(`phone numbers, API keys and passwords of URLs in ${place}`, () => {
        for (const secret of [phone, apiKey, url]) write(secret);
        assert.equal(lines.length, 3);
        for (const line of lines) {
          JSON.parse(line);
          for (const secret of secrets) assert(!line.includes(secret), `${secret} stands in ${line}`);
        }
        assert.match(lines[0] ?? '', /\+82…78/, 'enough is left to tell two numbers apart');
        assert.match(lines[2] ?? '', /amqp:\/\/chodang:…@127\.0\.0\.1:5672\/vhost/);
      });

    it('keys of the gateway and credentials of requests, at any depth', () => {
      const headers = { authorization: `Bearer ${otherKey}`, accept: 'application/json' };
      log.info({ tms: { apiKey: otherKey } }, 'm');
      log.info({ config: { tms: { apiKey: otherKey } } }, 'm');
      log.info({ apiKey: otherKey, headers }, 'm');
      log.info({ req: { headers } }, 'm');
      log.error({ err: Object.assign(new Error('x'), { request: { options: { headers } } }) }, 'm');
      log.error({ err: Object.assign(new Error('x'), { connection: { password: otherKey } }) }, 'm');
      for (const line of lines) assert(!line.includes(otherKey), `the key stands in ${line}`);
      assert.match(lines[3] ?? '', /application\/json/, 'the rest is there');
    });
  });

  it('leaves ids, times, amounts and addresses alone', () => {
    const id = uuidv7();
    const innocent = {
      noticeId: id,
      orderId: '2026112212345678901',
      traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
      at: '2026-11-22T12:34:56.789+09:00',
      ms: 1_795_000_000_000,
      url: 'http://127.0.0.1:8080/v1/delay-notices?cursor=o-1',
      servers: '127.0.0.1:2181,127.0.0.1:2182',
      mail: 'see http://127.0.0.1:8080 or call extension 4711',
      sum: '1+1=2',
      key: `${id}:2026112212345678901`,
      date: '2026-12-01',
      text: '김초당 "님", \\ 초당옥수수',
    };
    log.info(innocent, `notice ${id} of order 2026112212345678901 at 2026-11-22T12:34:56.789+09:00`);
    const { msg, ...fields } = last();
    for (const [name, value] of Object.entries(innocent)) assert.deepEqual(fields[name], value);
    assert.equal(msg, `notice ${id} of order 2026112212345678901 at 2026-11-22T12:34:56.789+09:00`);
  });
});

describe('mail addresses in the log', () => {
  for (const text of [
    'to=kim@a.com+lee@b.com',
    'kim@a.com..lee@b.com',
    'kim@a.com.+lee@b.com',
    '<kim+x@a.co.kr>, lee@b.kr',
  ])
    it(`are masked, one behind another too: ${text}`, () => {
      let line = '';
      openLog({ level: 'info', destination: { write: (written) => (line = written) } }).info(text);
      assert(!line.includes('@a') && !line.includes('@b') && !line.includes('lee'), line);
    });
});

describe('a long word in the log', () => {
  const letters = 200_000;
  for (const [what, word] of Object.entries({ letters: 'a', digits: '7', addresses: 'a@b', urls: 'a://b:c' }))
    it(`of ${what} takes no longer than others`, () => {
      const log = openLog({ level: 'info', destination: { write: () => undefined } });
      const startedAt = performance.now();
      log.info(word.repeat(letters / word.length));
      const ms = performance.now() - startedAt;
      assert(ms < 1_000, `${ms.toFixed(0)} ms`); // a few; a minute if it were gone through from each letter
    });
});

describe('the log of a process', function () {
  this.timeout(30_000);

  let children: ChildProcess[];
  let directory: string;
  beforeEach(() => {
    children = [];
    directory = mkdtempSync(join(tmpdir(), 'chodang-log-'));
  });
  afterEach(() => {
    for (const child of children) if (child.exitCode === null) child.kill('SIGKILL');
    rmSync(directory, { recursive: true });
  });

  /** Starts a process that writes so many lines of a kilobyte, and one more, to a socket or what it is told, until it has. */
  const write = async (
    lines: number,
    { level = 'info', end = 'at once', output }: { level?: string; end?: string; output?: number } = {},
  ): Promise<ChildProcess> => {
    const child = fork(new URL('support/log-child.ts', import.meta.url), [String(lines), level, end], {
      execArgv: ['--import', 'tsx'],
      stdio: ['ignore', output ?? 'pipe', 'inherit', 'ipc'],
    });
    children.push(child);
    await once(child, 'message');
    return child;
  };

  /** Makes a named pipe; `close` it at the end that nobody but processes started with `end` has. */
  const pipe = () => {
    const path = join(directory, 'pipe');
    execFileSync('mkfifo', [path]);
    const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    return { reader, end: openSync(path, 'w') };
  };

  /** Begins to read what there is, and what comes. */
  const read = (from: Readable | null) => {
    const all = { text: '' };
    from?.setEncoding('utf8').on('data', (some) => {
      all.text += some;
    });
    return all;
  };
  const linesOf = ({ text }: { text: string }) =>
    text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { at?: number; level: string; lines?: number; pid: number });

  const ends = async (child: ChildProcess) => {
    const exited = once(child, 'exit');
    child.kill('SIGTERM');
    assert.deepEqual(await exited, [3, null]);
  };

  for (const [what, how] of [
    ['at once', {}],
    ['after a fatal line', { level: 'fatal' }],
    ['by itself', { end: 'by itself' }],
  ] as const) {
    it(`lets its process end ${what} while nobody reads it`, async () => ends(await write(1_000, how)));

    it(`has each line once where its process ends ${what} and somebody reads`, async () => {
      const child = await write(3_000, how);
      child.kill('SIGTERM');
      const all = read(child.stdout);
      await once(child, 'close');
      assert.deepEqual(
        linesOf(all).map(({ at }) => at),
        [...Array(3_001).keys()],
      );
    });
  }

  it('lets its process end while nobody reads it, where others have the same pipe', async () => {
    const { reader, end } = pipe();
    await ends(await write(1_000, { output: end }));
    for (const file of [reader, end]) closeSync(file);
  });

  it('lets its process end when whoever read it has gone', async () => {
    const child = await write(1_000);
    child.stdout?.destroy();
    await ends(child);
  });

  it('has whole lines where several processes write to one pipe, however slowly it is read', async () => {
    const { reader, end } = pipe();
    const each = 1_000;
    const writing = await Promise.all([1, 2, 3].map(() => write(each - 1, { output: end })));
    closeSync(end);
    const from = new Socket({ fd: reader, readable: true, writable: false });
    const all = read(from);
    from.on('data', () => {
      from.pause();
      setTimeout(() => from.resume(), 20);
    });
    await until(() => all.text.split('\n').length > writing.length * each, { what: 'all lines have come' });
    await Promise.all(writing.map(ends));
    for (const { pid } of writing)
      assert.deepEqual(
        linesOf(all).flatMap((line) => (line.pid === pid ? [line.at] : [])),
        [...Array(each).keys()],
      );
  });

  for (const end of [false, true])
    it(`drops lines beyond 4 MB while nobody reads it, and says how many${end ? ' at the end' : ''}`, async () => {
      const written = 20_000;
      const child = await write(written);
      if (end) child.kill('SIGTERM');
      const output = read(child.stdout);
      if (end) await once(child, 'close');
      else
        await until(() => output.text.endsWith('before this one"}\n'), { what: 'all has come that is left' });
      const all = linesOf(output);
      const told = all.filter(({ lines }) => lines !== undefined);
      assert(told.length > 0 && told.every(({ level }) => level === 'error'), 'it says so');
      const missing = told.reduce((sum, { lines = 0 }) => sum + lines, 0);
      assert.equal(all.length - told.length + missing, written + 1);
      const { length } = output.text;
      assert(length > 4_000_000 && length < 5_000_000, `${length} characters waited`);
    });
});
