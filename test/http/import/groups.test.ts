import assert from 'node:assert/strict';
import { csvFile } from '../../../src/http/import/csv.ts';
import { type Group, type GroupOptions, groupsOf } from '../../../src/http/import/groups.ts';
import { ndjsonFile } from '../../../src/http/import/ndjson.ts';
import { aNotice } from '../../support/makers.ts';
import { aCsv, csvHeader, ids } from './uploads.ts';

const header = aNotice();
const settings: GroupOptions = {
  known: undefined,
  headerFor: () => header,
  chunkSize: 3,
  groupChunks: 2,
  maxOrders: 1_000,
  maxListed: 1_000,
  pauseMs: 10_000,
  onKnown: () => undefined,
};

/** Gives a text in parts of so many characters, as a socket might. */
async function* inParts(text: string, size: number) {
  for (let at = 0; at < text.length; at += size) yield text.slice(at, at + size);
}

async function all(groups: AsyncGenerator<Group>): Promise<Group[]> {
  const list: Group[] = [];
  for await (const group of groups) list.push(group);
  return list;
}

const groupsOfCsv = async (csv: string, options: Partial<GroupOptions> = {}, partSize = 50) =>
  all(groupsOf(await csvFile(inParts(csv, partSize)), { ...settings, ...options }));

const idsIn = (groups: Group[]) =>
  groups
    .flatMap(({ chunks }) => chunks)
    .flatMap(({ chunk }) => (JSON.parse(chunk) as { items: { orderId: string }[] }).items)
    .map(({ orderId }) => orderId);

describe('groupsOf', () => {
  it('cuts the same groups, with the same hash, however the file comes in', async () => {
    const csv = aCsv(ids(20));
    const [one, other, whole] = await Promise.all([1, 7, 10_000].map((size) => groupsOfCsv(csv, {}, size)));
    assert.deepEqual(one, other);
    assert.deepEqual(one, whole);
    assert.deepEqual(
      one?.map(({ chunks, state, last }) => [chunks.map(({ orders }) => orders), state.rows, last]),
      [
        [[3, 3], 6, false],
        [[3, 3], 12, false],
        [[3, 3], 18, false],
        [[2], 20, true],
      ],
    );
    assert.deepEqual(idsIn(one ?? []), ids(20));
  });

  it('goes on behind what is known, with chunks numbered on, whatever was cut where', async () => {
    const csv = aCsv(ids(20));
    const first = (await groupsOfCsv(csv)).slice(0, 2);
    const state = first.at(-1)?.state;
    assert.ok(state);
    let known = 0;
    const rest = await groupsOfCsv(csv, {
      known: { header, state },
      chunkSize: 4,
      onKnown: () => known++,
    });
    assert.deepEqual([...idsIn(first), ...idsIn(rest)], ids(20));
    assert.equal(rest[0]?.chunks[0]?.chunkNo, 4);
    assert.equal(rest.at(-1)?.state.orders, 20);
    assert.equal(known, 1);
  });

  it('knows repeats of orders that were passed over', async () => {
    const csv = aCsv([...ids(6), ...ids(6)]);
    const [first] = await groupsOfCsv(csv);
    assert.ok(first);
    const rest = await groupsOfCsv(csv, { known: { header, state: first.state } });
    assert.deepEqual(idsIn(rest), []);
    assert.deepEqual([rest.at(-1)?.state.orders, rest.at(-1)?.state.duplicates], [6, 6]);
  });

  for (const [what, csv] of [
    ['differs in what is known', aCsv(['o-0', 'o-1', 'other', ...ids(17, 3)])],
    ['is shorter than what is known', aCsv(ids(5))],
    [
      'has its columns in another order',
      aCsv(ids(20)).replace('order_id,new_ship_date', 'new_ship_date,order_id'),
    ],
  ] as const)
    it(`refuses a file that ${what}`, async () => {
      const [first] = await groupsOfCsv(aCsv(ids(20)));
      assert.ok(first);
      await assert.rejects(groupsOfCsv(csv, { known: { header, state: first.state } }), {
        type: 'idempotency-key-reused',
      });
    });

  it('does not wait for more when rows have come, and no others follow', async () => {
    let goOn: () => void = () => undefined;
    const more = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    const file = await csvFile(
      (async function* () {
        yield aCsv(ids(2));
        await more;
        yield 'o-2,2026-11-29,WEATHER,\n';
      })(),
    );
    const groups = groupsOf(file, { ...settings, pauseMs: 20 });
    const first = await groups.next();
    assert.deepEqual([first.value?.state.rows, first.value?.last], [2, false]);
    goOn();
    const second = await groups.next();
    assert.deepEqual([second.value?.state.rows, second.value?.last], [3, true]);
  });

  it('rejects orders beyond the limit, and takes repeats of earlier ones', async () => {
    const groups = await groupsOfCsv(aCsv([...ids(5), 'o-0']), { maxOrders: 3 });
    assert.deepEqual(idsIn(groups), ids(3));
    const { duplicates, rejectedRows } = groups.at(-1)?.state ?? {};
    assert.deepEqual([duplicates, rejectedRows], [1, 2]);
    assert.equal(groups.flatMap(({ rejected }) => rejected)[0]?.expected, 'at most 3 orders in one file');
  });

  it('reads no further than 10,000 rows of which none can be used', async () => {
    const bad = (count: number) =>
      Array.from({ length: count }, (_, at) => `o-${at},never,WEATHER,\n`).join('');
    const groups = await groupsOfCsv(`${csvHeader}${bad(9_999)}good,2026-11-29,WEATHER,\n`, {}, 10_000);
    assert.deepEqual(idsIn(groups), ['good']);
    let parts = 0;
    const file = await csvFile(
      (async function* () {
        yield csvHeader;
        for (; parts < 100; parts += 1) yield bad(1_000);
      })(),
    );
    await assert.rejects(all(groupsOf(file, settings)), { type: 'invalid-request' });
    assert.ok(parts < 20, `${parts},000 rows were read`);
  });

  it('lists so many rejected rows, and counts all', async () => {
    const bad = ids(9).map((orderId) => `${orderId},never,WEATHER,\n`);
    const groups = await groupsOfCsv(`${aCsv(['o-1'])}${bad.join('')}`, { maxListed: 4 });
    assert.deepEqual(
      groups.flatMap(({ rejected }) => rejected).map(({ line }) => line),
      [3, 4, 5, 6],
    );
    assert.equal(groups.at(-1)?.state.rejectedRows, 9);
  });

  it('ends a group after many rows, also if they are no orders', async () => {
    const groups = await groupsOfCsv(aCsv(['o-1', ...Array.from({ length: 70 }, () => 'o-1')]));
    assert.deepEqual(
      groups.map(({ state }) => state.rows),
      [30, 60, 71],
    );
  });

  it('gives the header no detail, since an order without one would get it', async () => {
    const csv = `${csvHeader}o-1,2026-11-29,WEATHER,rain\no-2,2026-11-29,WEATHER,\n`;
    const [group] = await groupsOfCsv(csv);
    const { items } = JSON.parse(group?.chunks[0]?.chunk ?? '') as { items: object[] };
    assert.deepEqual(items, [{ orderId: 'o-1', detail: 'rain' }, { orderId: 'o-2' }]);
  });

  it('takes lines of JSON that are too long for broken, and holds no more than their start', async () => {
    const long = `{"orderId":"${'x'.repeat(300_000)}"}\n`;
    const good = `{"orderId":"o-1","newShipDate":"2026-11-29","reason":"WEATHER"}\n`;
    const hashes = await Promise.all(
      [1_000, 16_385, 500_000].map(async (size) => {
        const groups = await all(groupsOf(ndjsonFile(inParts(long + good + long, size)), settings));
        assert.deepEqual(idsIn(groups), ['o-1']);
        assert.deepEqual(
          groups.flatMap(({ rejected }) => rejected).map(({ line, got }) => [line, got]),
          [
            [1, 'a line of over 16,384 characters'],
            [3, 'a line of over 16,384 characters'],
          ],
        );
        return groups.at(-1)?.state.hash.toString('hex');
      }),
    );
    assert.equal(new Set(hashes).size, 1);
  });
});
