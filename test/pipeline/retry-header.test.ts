import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { type Answer, done, failed, forward, infrastructure, retriable } from '../../src/pipeline/actor.ts';
import { InfrastructureError } from '../../src/pipeline/errors.ts';
import { headerNames, type Publication, typeOf } from '../../src/pipeline/message.ts';
import { exchanges } from '../../src/pipeline/topology.ts';
import { type Crate, crate } from '../support/crates.ts';
import { type CrateActor, cratePipeline } from '../support/pipeline.ts';
import { until } from '../support/wait.ts';

type Seen = { id: string; retry: string | undefined; attempt: number };
type Message = { chunks: { items: Crate[] }[] };

describe('what a retry brought back', () => {
  let pipeline: Awaited<ReturnType<typeof cratePipeline>>;
  let published: Publication[];
  beforeEach(() => {
    published = [];
  });
  afterEach(() => pipeline.close());

  /** An actor that answers as it is told, and notes what it is told of each item. */
  function noting(answer: (entry: Seen) => Answer<Crate>) {
    const ran: Seen[] = [];
    const actor: CrateActor = {
      run: async (batch) =>
        batch.map(({ item, retry, attempt }) => {
          const seen = { id: item.id, retry, attempt };
          ran.push(seen);
          return answer(seen);
        }),
    };
    return { actor, ran };
  }

  async function begin(
    actors: Record<string, CrateActor>,
    settings: Parameters<typeof cratePipeline>[1] & object = {},
  ) {
    pipeline = await cratePipeline(actors, {
      wrap: (broker) => ({
        ...broker,
        publish(publication) {
          published.push(publication);
          return broker.publish(publication);
        },
      }),
      ...settings,
    });
  }

  const send = (ids: string[], retry?: string, content?: Buffer) =>
    pipeline.broker.publish({
      exchange: exchanges.steps,
      routingKey: 'weigh.express',
      content:
        content ??
        Buffer.from(JSON.stringify({ chunks: [{ header: { name: 'a' }, items: ids.map(crate) }] })),
      type: typeOf('weigh'),
      messageId: randomUUID(),
      headers: retry === undefined ? {} : { [headerNames.retry]: retry },
    });

  const idsIn = ({ content }: Publication) =>
    (JSON.parse(content.toString()) as Message).chunks.flatMap(({ items }) => items.map(({ id }) => id));
  /** What went to an exchange: the ids in each message, with its header. */
  const went = (exchange: string) =>
    published
      .filter((each) => each.exchange === exchange)
      .map((each) => ({ ids: idsIn(each), retry: each.headers[headerNames.retry] }));

  it('keeps its header where a part of it waits, and where all of it does', async () => {
    const weigh = noting(({ id, attempt }) =>
      id === 'part' && attempt < 3 ? retriable(new Error('no')) : done,
    );
    await begin({ weigh: weigh.actor });
    pipeline.start();
    await send(['part', 'rest'], '1/7');
    await until(() => weigh.ran.length === 4, { what: 'the part ran three times' });
    assert.deepEqual(
      weigh.ran.map(({ id, retry, attempt }) => `${id} ${retry} ${attempt}`),
      ['part 1/7 1', 'rest 1/7 1', 'part 1/7 2', 'part 1/7 3'],
    );
  });

  it('keeps it while the circuit is open and it is handed back, its attempts unchanged', async () => {
    let away = true;
    const weigh = noting(() => (away ? infrastructure(new InfrastructureError('away')) : done));
    await begin({ weigh: weigh.actor });
    pipeline.start();
    for (let at = 0; at < 10; at += 1) await send([`c${at}`], at % 2 ? `1/${at + 1}` : undefined);
    await until(() => pipeline.seen.circuit.some(({ open }) => open), { what: 'the circuit opens' });
    away = false;
    const before = weigh.ran.length;
    await until(() => new Set(weigh.ran.slice(before).map(({ id }) => id)).size === 10, { what: 'all ran' });
    for (const { id, retry, attempt } of weigh.ran) {
      const at = Number(id.slice(1));
      assert.deepEqual([retry, attempt], [at % 2 ? `1/${at + 1}` : undefined, 1]);
    }
  });

  it('is never packed with others on its way to the next step, in whatever batch it was', async () => {
    const weigh = noting(() => forward);
    const bake = noting(() => done);
    await begin({ weigh: weigh.actor, bake: bake.actor });
    const names = [undefined, '1/1', '1/2', '2/1'];
    for (let at = 0; at < 40; at += 1) await send([`c${at}`], names[at % 4]);
    pipeline.start();
    await until(() => bake.ran.length === 40, { what: 'all have passed both steps' });
    for (const { id, retry } of [...weigh.ran, ...bake.ran])
      assert.equal(retry, names[Number(id.slice(1)) % 4], id);
    const messages = went(exchanges.steps);
    assert(messages.length < 40, 'they were in batches');
    for (const { ids, retry } of messages)
      assert.deepEqual(new Set(ids.map((id) => names[Number(id.slice(1)) % 4])), new Set([retry]));
  });

  it('keeps it when it fails in a later step, apart from others that fail alike', async () => {
    const bake = noting(() => failed(new TypeError('too hot')));
    await begin({ weigh: noting(() => forward).actor, bake: bake.actor });
    for (const [at, retry] of ['1/1', undefined, '1/2', undefined].entries()) await send([`c${at}`], retry);
    pipeline.start();
    await until(() => went(exchanges.failed).flatMap(({ ids }) => ids).length === 4, { what: 'all failed' });
    const named = went(exchanges.failed).filter(({ retry }) => retry !== undefined);
    assert.deepEqual(
      named.toSorted((a, b) => String(a.retry).localeCompare(String(b.retry))),
      [
        { ids: ['c0'], retry: '1/1' },
        { ids: ['c2'], retry: '1/2' },
      ],
    );
    for (const { routingKey, type } of published.filter(({ exchange }) => exchange === exchanges.failed))
      assert.deepEqual([routingKey, type], ['bake.express', 'bake.v1']);
  });

  it('keeps it when it can not be read, and when it is given up for killing its process', async () => {
    await begin({ weigh: noting(() => done).actor }, { maxRedeliveries: 0 });
    pipeline.start();
    await send(['c0'], '1/1');
    await until(() => published.length === 1, { what: 'it is given up' });
    await pipeline.close();
    await begin({ weigh: noting(() => done).actor });
    pipeline.start();
    await send([], '1/2', Buffer.from('no JSON'));
    await until(() => published.length === 2, { what: 'the other is given up' });
    assert.deepEqual(
      published.map(({ headers }) => [headers[headerNames.retry], headers[headerNames.errorClass]]),
      [
        ['1/1', 'KilledProcess'],
        ['1/2', 'MalformedError'],
      ],
    );
  });

  it('is its own where RabbitMQ will not confirm what goes on from it', async () => {
    let refuse = true;
    const weigh = noting(() => forward);
    const bake = noting(() => done);
    await begin(
      { weigh: weigh.actor, bake: bake.actor },
      {
        wrap: (broker) => ({
          ...broker,
          async publish(publication) {
            if (refuse && publication.routingKey.startsWith('bake.'))
              throw new InfrastructureError('not confirmed');
            await broker.publish(publication);
          },
        }),
      },
    );
    pipeline.start();
    await send(['c0'], '1/1');
    await send(['c1']);
    await until(() => weigh.ran.length > 3, { what: 'they were tried again' });
    refuse = false;
    await until(() => bake.ran.length >= 2, { what: 'they went on' });
    assert.deepEqual(
      Object.fromEntries([...weigh.ran, ...bake.ran].map(({ id, retry, attempt }) => [id, [retry, attempt]])),
      { c0: ['1/1', 1], c1: [undefined, 1] },
    );
  });
});
