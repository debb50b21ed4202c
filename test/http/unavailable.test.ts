import assert from 'node:assert/strict';
import { pino } from 'pino';
import { openStore } from '../../src/store/store.ts';
import { until } from '../support/wait.ts';
import { aBody, countOf, get, post, quiet, startApi } from './api.ts';

describe('Postgres', () => {
  it('out of reach is a 503 with Retry-After, whichever path', async () => {
    const away = openStore({ url: 'postgres://nobody@127.0.0.1:1/none', poolSize: 1, log: quiet });
    const api = await startApi({ store: away, retryAfterSeconds: 9 });
    try {
      for (const path of ['legacy', 'actors']) {
        api.path = path;
        const { status, headers, body } = await post(api, aBody());
        assert.equal(status, 503);
        assert.equal(headers['retry-after'], '9');
        const { type, detail } = body as { type: string; detail: string };
        assert.equal(type, '/problems/unavailable');
        assert.doesNotMatch(detail, /127\.0\.0\.1|ECONN/, 'tells sellers nothing of our machines');
      }
      assert.equal((await get(api, '/v1/delay-notices')).status, 503);
    } finally {
      await api.close();
      await away.close();
    }
  });

  it('out of reach is logged once in a second, with how many were refused', async () => {
    const lines: string[] = [];
    const log = pino({ level: 'error' }, { write: (line: string) => lines.push(line) });
    const away = openStore({ url: 'postgres://nobody@127.0.0.1:1/none', poolSize: 1, log: quiet });
    const api = await startApi({ store: away, log });
    try {
      const began = performance.now();
      while (performance.now() - began < 1_000)
        assert.equal((await get(api, '/v1/delay-notices')).status, 503);
      const said = () => lines.map((line) => (JSON.parse(line) as { refused: number }).refused);
      await until(
        async () => {
          await get(api, '/v1/delay-notices');
          return lines.length > 1;
        },
        { what: 'another line' },
      );
      const [first, second = 0] = said();
      assert.equal(first, 1);
      assert(second > 5, `${second} refused`);
    } finally {
      await api.close();
      await away.close();
    }
  });

  it('that breaks during the commit leaves the outcome unknown, and does not promise that nothing was stored', async () => {
    const api = await startApi();
    try {
      await api.store.query(`create function break() returns trigger language plpgsql as
        $$ begin perform pg_terminate_backend(pg_backend_pid()); return null; end $$`);
      await api.store.query(`create constraint trigger break after insert on notices
        deferrable initially deferred for each row execute function break()`);
      const { status, headers, body } = await post(api, aBody(), { headers: { 'idempotency-key': 'k' } });
      assert.equal(status, 500);
      assert.equal(headers['retry-after'], undefined);
      assert.equal((body as { type: string }).type, '/problems/outcome-unknown');
      assert.deepEqual(api.publisher.published, []);
      await api.store.query('drop trigger break on notices');
      assert.equal((await post(api, aBody(), { headers: { 'idempotency-key': 'k' } })).status, 202);
      assert.equal(await countOf(api.store, 'notices'), 1);
    } finally {
      await api.close();
    }
  });

  it('that refuses a statement is an internal error which tells nothing of it', async () => {
    const api = await startApi();
    try {
      await api.store.query('alter table intake rename to elsewhere');
      const { status, text, body } = await post(api, aBody());
      assert.equal(status, 500);
      assert.equal((body as { type: string }).type, '/problems/internal-error');
      assert.doesNotMatch(text, /relation|intake/);
      assert.equal(await countOf(api.store, 'notices'), 0);
    } finally {
      await api.close();
    }
  });
});
