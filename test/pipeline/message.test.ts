import assert from 'node:assert/strict';
import {
  attemptOf,
  headerNames,
  joinChunks,
  type MessageFormat,
  pack,
  readChunks,
} from '../../src/pipeline/message.ts';
import { crate, crateFormat } from '../support/crates.ts';

const contentOf = (messages: Buffer[]) =>
  messages.map((message) => (JSON.parse(message.toString()) as { chunks: { items: unknown[] }[] }).chunks);

/** Messages as others might write them: a line for each item, of at most 20 bytes in all. */
const linesFormat: MessageFormat<object, string> = {
  read: (content) => [{ header: {}, items: content.toString().split('\n') }],
  write: (chunks) => Buffer.from(chunks.flatMap(({ items }) => items).join('\n')),
  maxBytes: 20,
  headerKeyOf: () => '',
  itemKeyOf: (item) => item,
  logFieldsOf: () => ({}),
};

describe('packing for the next step', () => {
  const lines = (name: string, count: number) =>
    Array.from({ length: count }, (_, at) => ({ header: {}, item: `${name}-${at}` }));
  const entries = (header: string, count: number) =>
    Array.from({ length: count }, (_, at) => ({ header: { name: header }, item: { id: `${header}-${at}` } }));

  it('puts many headers with one item each into one message', () => {
    const singles = Array.from({ length: 300 }, (_, at) => entries(`h${at}`, 1)).flat();
    const messages = contentOf(pack(crateFormat, 500, singles));
    assert.equal(messages.length, 1);
    assert.equal(messages[0]?.length, 300);
  });

  it('joins what belongs to one header, whatever it came in', () => {
    const [message] = contentOf(
      pack(crateFormat, 500, [...entries('a', 2), ...entries('b', 1), ...entries('a', 2)]),
    );
    assert.deepEqual(
      message?.map(({ items }) => items.length),
      [4, 1],
    );
  });

  it('fills every message but the last, and loses nothing', () => {
    const messages = contentOf(pack(crateFormat, 500, [...entries('a', 1_201), ...entries('b', 3)]));
    const sizes = messages.map((chunks) => chunks.reduce((sum, { items }) => sum + items.length, 0));
    assert.deepEqual(sizes, [500, 500, 204]);
    assert.equal(
      new Set(messages.flat().flatMap(({ items }) => items.map((item) => JSON.stringify(item)))).size,
      1_204,
    );
  });

  it('makes messages of others no larger than they may be, and loses nothing', () => {
    const messages = pack(linesFormat, 500, [
      ...lines('a', 7),
      ...lines('b'.repeat(50), 1),
      ...lines('c', 1),
    ]);
    assert.deepEqual(
      messages.map((message) => message.toString().split('\n')),
      [['a-0', 'a-1', 'a-2', 'a-3', 'a-4'], ['a-5', 'a-6'], [`${'b'.repeat(50)}-0`], ['c-0']],
    );
  });

  it('makes no message of nothing', () => assert.deepEqual(pack(crateFormat, 500, []), []));
});

describe('reading a message', () => {
  const read = (text: string, type = 'weigh.v1') =>
    readChunks(crateFormat, 'weigh', { content: Buffer.from(text), type });

  it('gives back the chunks that were packed', () => {
    const chunk = { header: { name: 'a' }, items: [crate('a-1')] };
    assert.deepEqual(read(joinChunks([JSON.stringify(chunk)]).toString()), [chunk]);
  });

  for (const [what, text, expected] of [
    ['bytes that are not JSON', '{"chunks":', /expected JSON/],
    ['JSON of another shape', '[1]', /expected \{ "chunks"/],
    ['no chunks', '{"chunks":[]}', /at least one chunk/],
    ['a chunk its format refuses', '{"chunks":[{"header":{"name":7},"items":[]}]}', /header\.name/],
    ['a chunk without items', '{"chunks":[{"header":{"name":"a"},"items":[]}]}', /no items/],
  ] as const)
    it(`refuses ${what}, saying so`, () => {
      assert.throws(() => read(text), { name: 'MalformedError', message: expected });
    });

  it('refuses a message of another type', () => {
    assert.throws(() => read('{}', 'bake.v1'), {
      name: 'MalformedError',
      message: /weigh\.v1, got bake\.v1/,
    });
  });
});

describe('reading a message of others', () => {
  const read = (text: string) =>
    readChunks(linesFormat, 'weigh', { content: Buffer.from(text), type: undefined });

  it('gives back what is no larger than it may be', () =>
    assert.deepEqual(read('20 bytes are allowed'), [{ header: {}, items: ['20 bytes are allowed'] }]));

  it('refuses what is larger, unread', () =>
    assert.throws(() => read('21 bytes are too much'), {
      name: 'MalformedError',
      message: 'expected a message of at most 20 bytes, got 21: publish what it says again, in smaller ones',
    }));
});

describe('the attempt of a delivery', () => {
  const death = (queue: string, reason: string, count: number) => ({ queue, reason, count });
  for (const [what, headers, attempt] of [
    ['is 1 for a fresh message', {}, 1],
    ['counts the attempts a message says it has behind it', { [headerNames.attempts]: 2 }, 3],
    [
      "adds this step's rejections, in any lane",
      { 'x-death': [death('weigh.bulk', 'rejected', 2), death('weigh.express', 'rejected', 1)] },
      4,
    ],
    ['does not count expiries', { 'x-death': [death('weigh.retriable', 'expired', 5)] }, 1],
    ['does not count deaths in other steps', { 'x-death': [death('bake.bulk', 'rejected', 5)] }, 1],
    [
      'adds both up',
      {
        [headerNames.attempts]: 1,
        'x-death': [death('weigh.bulk', 'rejected', 1), death('weigh.retriable', 'expired', 1)],
      },
      3,
    ],
  ] as const)
    it(what, () => assert.equal(attemptOf('weigh', headers), attempt));
});
