import { uuidv7 } from 'uuidv7';
import { headerNames, type Publication, publicationTo } from '../src/pipeline/message.ts';
import { exchanges } from '../src/pipeline/topology.ts';

/** One failed message as a step publishes it, and the order in it. */
export interface FailedOne {
  publication: Publication;
  step: string;
  noticeId: string;
  sellerId: string;
  orderId: string;
}

/** How many notices, and sellers, the orders of failed messages are of. */
const notices = 5_000;
const sellers = 100;
export const newShipDate = '2099-12-01';

/** What goes wrong: of each kind half as many as of the one before it, in a way; the step, class, message and place of each. */
const kinds = [
  [
    'tms',
    'TypeError',
    (order: string) => `Cannot read properties of undefined (reading 'phone') of ${order}`,
  ],
  ['delay', 'RangeError', (order: string) => `order ${order}: 2099-13-41 is no day`],
  ['tms', 'Error', (order: string) => `the gateway says retriable for +82101234${order.slice(-4)}: busy`],
  ['validation', 'MalformedError', () => 'items[0].newShipDate: expected a day as YYYY-MM-DD, got 20991301'],
  ['tms', 'TemplateError', () => 'template WEATHER has no variable #{farm}'],
  ['tms', 'Error', (order: string) => `the gateway took ${order} twice under one key`],
  ['delay', 'error', () => 'new row for relation "orders" violates check constraint "orders_status_check"'],
  ['tms', 'SyntaxError', () => 'Unexpected token < in JSON at position 0'],
  ['validation', 'TypeError', () => "Cannot read properties of null (reading 'promisedShipDate')"],
  ['tms', 'KilledProcess', () => 'its process died with it 10 times: expected fewer than 10'],
  ['delay', 'TypeError', (order: string) => `order ${order} has no version`],
  ['tms', 'Error', () => 'locale "xx" is not known: expected ko, en'],
  ['tms', 'URIError', () => 'URI malformed'],
  ['validation', 'KilledProcess', () => 'its process died with it 10 times: expected fewer than 10'],
  ['delay', 'Error', (order: string) => `seller of ${order} is not known any more`],
  ['tms', 'AssertionError', (order: string) => `expected one answer for ${order}, got 2`],
  ['tms', 'RangeError', () => 'Invalid time value'],
  ['delay', 'KilledProcess', () => 'its process died with it 10 times: expected fewer than 10'],
  ['validation', 'RangeError', () => 'Maximum call stack size exceeded'],
  ['tms', 'Error', () => 'the text has 2103 letters: expected at most 2000'],
] as const;

/** So many kinds are among any thousand failed messages. */
export const kindCount = kinds.length;
const weights = kinds.map((_, at) => 1 / (at + 1));
const allWeights = weights.reduce((sum, weight) => sum + weight, 0);

/**
 * Makes failed messages as steps publish them: one order each, of some thousand notices of a hundred sellers, in
 * twenty kinds of which the first are the most frequent, each with a stack of some 1.5 KB. All their ids are new.
 */
export function failedMessages(count: number): FailedOne[] {
  const random = createRandom(count);
  const noticeIds = Array.from({ length: notices }, () => uuidv7());
  return Array.from({ length: count }, (_, at) => {
    const notice = Math.floor(random() * notices);
    const noticeId = noticeIds[notice] ?? '';
    const sellerId = `seller-${notice % sellers}`;
    const orderId = `order-${at}-${Math.floor(random() * 1e9)}`;
    const kind = kindAt(random() * allWeights);
    const [step] = kinds[kind] ?? kinds[0];
    const content = contentOf({ noticeId, sellerId, orderId, newShipDate });
    const publication = publicationTo(exchanges.failed, step, 'express', content, headersOf(kind, orderId));
    return { publication, step, noticeId, sellerId, orderId };
  });
}

/** The bytes of a message with one order. */
export const contentOf = (of: Record<'noticeId' | 'sellerId' | 'orderId' | 'newShipDate', string>) =>
  Buffer.from(
    JSON.stringify({
      chunks: [
        {
          header: {
            noticeId: of.noticeId,
            sellerId: of.sellerId,
            path: 'actors',
            reason: 'WEATHER',
            detail: '장마로 수확이 늦어지고 있습니다.',
            newShipDate: of.newShipDate,
            traceparent: `00-${of.noticeId.replaceAll('-', '')}-00f067aa0ba902b7-01`,
          },
          items: [{ orderId: of.orderId }],
        },
      ],
    }),
  );

function kindAt(point: number): number {
  let passed = 0;
  return Math.max(
    0,
    weights.findIndex((weight) => (passed += weight) > point),
  );
}

function headersOf(kind: number, orderId: string): Record<string, string | number> {
  const [step, errorClass, messageOf] = kinds[kind] ?? kinds[0];
  const message = messageOf(orderId);
  return {
    [headerNames.errorClass]: errorClass,
    [headerNames.errorMessage]: message,
    [headerNames.errorStack]: `${errorClass}: ${message}\n${stackOf(step, kind)}`,
    [headerNames.step]: step,
    [headerNames.lane]: 'express',
    [headerNames.attempt]: 5,
    [headerNames.publishedAt]: new Date(Date.now() - 30_000).toISOString(),
    [headerNames.failedAt]: new Date().toISOString(),
  };
}

const root = 'file:///opt/chodang/releases/2099-11-24T03-12-55Z/dist';

/** Lines of a stack as Node writes them, of some 1.4 KB. */
const stackOf = (step: string, kind: number) =>
  [
    `at part${kind} (${root}/actors/${step}.js:${40 + kind}:17)`,
    `at ${root}/actors/${step}.js:31:48`,
    'at Array.map (<anonymous>)',
    `at Object.run (${root}/actors/${step}.js:28:39)`,
    `at async halve (${root}/pipeline/halve.js:24:23)`,
    `at async halve (${root}/pipeline/halve.js:31:20)`,
    `at async Promise.all (index 0)`,
    `at async answersOf (${root}/pipeline/step.js:161:25)`,
    `at async runBatch (${root}/pipeline/step.js:83:21)`,
    `at async Consumer.runGathered (${root}/pipeline/consumer.js:141:13)`,
    `at async Consumer.gather (${root}/pipeline/consumer.js:118:9)`,
    `at async ${root}/pipeline/actor-life.js:52:7`,
    'at async Stateful.f (file:///opt/chodang/releases/2099-11-24T03-12-55Z/node_modules/nact/dist/actor.js:212:30)',
    'at process.processTicksAndRejections (node:internal/process/task_queues:105:5)',
    'at async Immediate.<anonymous> (file:///opt/chodang/releases/2099-11-24T03-12-55Z/node_modules/nact/dist/actor.js:188:11)',
  ]
    .map((line) => `    ${line}`)
    .join('\n');

/** The same numbers from 0 to 1 each time (mulberry32). */
function createRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
