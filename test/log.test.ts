import assert from 'node:assert/strict';
import { type ChildProcess, fork } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
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

  /** A process that writes so many lines of a kilobyte to a pipe. */
  const writing = (lines: number, ...more: string[]) =>
    fork(new URL('support/log-child.ts', import.meta.url), [String(lines), ...more], {
      execArgv: ['--import', 'tsx'],
      stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
    });

  const read = (child: ChildProcess) => {
    const all = { text: '' };
    child.stdout?.setEncoding('utf8').on('data', (some) => {
      all.text += some;
    });
    return all;
  };

  /** Which lines there are, each of them whole. */
  const linesOf = ({ text }: { text: string }) =>
    text
      .trimEnd()
      .split('\n')
      .map((line) => (JSON.parse(line) as { at: number }).at);

  for (const [what, ...how] of [
    ['at once'],
    ['after a fatal line', 'fatal'],
    ['by itself', 'info', 'by itself'],
  ])
    it(`lets its process end ${what} while nobody reads it`, async () => {
      const child = writing(1_000, ...how);
      await once(child, 'message');
      const exited = once(child, 'exit');
      child.kill('SIGTERM');
      const late = setTimeout(() => child.kill('SIGKILL'), 5_000);
      assert.deepEqual(await exited, [3, null]);
      clearTimeout(late);
    });

  it('lets its process end when whoever read it has gone', async () => {
    const child = writing(1_000);
    await once(child, 'message');
    child.stdout?.destroy();
    const exited = once(child, 'exit');
    child.kill('SIGTERM');
    const late = setTimeout(() => child.kill('SIGKILL'), 5_000);
    assert.deepEqual(await exited, [3, null]);
    clearTimeout(late);
  });

  for (const [what, ...how] of [['at once'], ['by itself', 'info', 'by itself']])
    it(`loses nothing when it ends ${what} and somebody reads, however late`, async () => {
      const child = writing(5_000, ...how);
      await once(child, 'message'); // what fits in the pipe is written
      child.kill('SIGTERM');
      await sleep(200);
      const all = read(child);
      await once(child, 'close');
      assert.deepEqual(linesOf(all), [...Array(5_001).keys()]);
    });

  it('has each line once when a fatal one had to wait', async () => {
    const child = writing(1_000, 'fatal');
    await once(child, 'message'); // it gave up meanwhile
    const all = read(child);
    child.kill('SIGTERM');
    await once(child, 'close');
    assert.deepEqual(linesOf(all), [...Array(1_001).keys()]);
  });

  it('drops lines beyond 8 MB while nobody reads it, and says how many', async () => {
    const written = 20_001;
    const child = writing(written - 1);
    try {
      await once(child, 'message');
      const output = read(child);
      await until(
        () => output.text.includes(`"at":${written - 1},`) || output.text.endsWith('before this one"}\n'),
        { what: 'all has come that is left' },
      );
      const { text } = output;
      const all = text
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line) as { level: string; lines?: number });
      const told = all.filter(({ lines }) => lines !== undefined);
      assert(told.length > 0 && told.every(({ level }) => level === 'warn'), 'it says so');
      const missing = told.reduce((sum, { lines = 0 }) => sum + lines, 0);
      assert.equal(all.length - told.length + missing, written);
      assert(text.length > 7_000_000 && text.length < 9_000_000, `${text.length} characters waited`);
    } finally {
      const gone = once(child, 'exit');
      child.kill('SIGKILL');
      await gone;
    }
  });
});
