// The design of Chodang with nothing around it: one process that takes a notice over HTTP, keeps it in Postgres,
// and sends it through three queues, 500 orders a message. Nothing is checked, retried, batched or counted, and
// whatever goes wrong ends it. It shows what the machine could do, and is of no other use.
//
//   tsx bench/bare.ts POSTGRES_URL RABBITMQ_URL TMS_URL      prints its address
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { connect } from 'amqplib';
import { Pool } from 'pg';
import { request } from 'undici';
import { uuidv7 } from 'uuidv7';

interface Chunk {
  noticeId: string;
  sellerId: string;
  newShipDate: string;
  detail: string;
  orderIds: string[];
}

const chunkSize = 500;
const consumersPerStep = 4;
const prefetch = 4;
/** Whose notices they all are. */
const sellerId = 'seller-0';

const [postgresUrl = '', rabbitmqUrl = '', tmsUrl = ''] = process.argv.slice(2);
const pool = new Pool({
  connectionString: postgresUrl,
  max: 12,
  options: '-c enable_hashjoin=off -c enable_mergejoin=off -c enable_seqscan=off -c jit=off',
});
const consuming = await connect(rabbitmqUrl);
const publishing = await (await connect(rabbitmqUrl)).createConfirmChannel();

/** Publishes, and waits for the confirm. */
const send = (step: string, chunk: Chunk) =>
  new Promise<void>((resolve, reject) => {
    const message = Buffer.from(JSON.stringify(chunk));
    publishing.sendToQueue(`bare.${step}`, message, { persistent: true }, (error: unknown) =>
      error instanceof Error ? reject(error) : resolve(),
    );
  });

/** Consumes a step's queue: each consumer one chunk after the other. */
async function consume(step: string, run: (chunk: Chunk) => Promise<Chunk>, next?: string): Promise<void> {
  await publishing.assertQueue(`bare.${step}`, { arguments: { 'x-queue-type': 'quorum' } });
  for (let i = 0; i < consumersPerStep; i++) {
    const channel = await consuming.createChannel();
    await channel.prefetch(prefetch);
    let busy = Promise.resolve();
    await channel.consume(`bare.${step}`, (message) => {
      if (!message) return;
      busy = busy.then(async () => {
        const chunk = await run(JSON.parse(message.content.toString()) as Chunk);
        if (next) await send(next, chunk);
        channel.ack(message);
      });
    });
  }
}

/** The keys of a chunk as columns: given as one value each, the planner would read the whole notice every time. */
const keys = (chunk: Chunk) => [
  chunk.orderIds.map(() => chunk.noticeId),
  chunk.orderIds.map(() => chunk.sellerId),
  chunk.orderIds,
];
const batch = 'unnest($1::uuid[], $2::text[], $3::text[]) as k (notice_id, seller_id, order_id)';
const theOrder = 'o.seller_id = k.seller_id and o.order_id = k.order_id';
const theRow = 'l.notice_id = k.notice_id and l.order_id = k.order_id';

async function validate(chunk: Chunk): Promise<Chunk> {
  const { rows } = await pool.query<[string]>({
    text: `select o.order_id from ${batch} join orders o on ${theOrder}
           where o.status = 'open' and o.expected_ship_date < $4 and o.delay_count < 3`,
    values: [...keys(chunk), chunk.newShipDate],
    rowMode: 'array',
  });
  return { ...chunk, orderIds: rows.map(([orderId]) => orderId) };
}

async function delay(chunk: Chunk): Promise<Chunk> {
  await pool.query(
    `with changed as (
       update orders o set expected_ship_date = $4, delay_count = o.delay_count + 1, last_notice_id = k.notice_id
       from ${batch} where ${theOrder} and o.status = 'open'
       returning k.notice_id, k.seller_id, k.order_id
     )
     insert into ledger (notice_id, seller_id, order_id, state, new_ship_date)
     select notice_id, seller_id, order_id, 'delayed', $4 from changed`,
    [...keys(chunk), chunk.newShipDate],
  );
  return chunk;
}

async function tell(chunk: Chunk): Promise<Chunk> {
  const { rows } = await pool.query<[id: string, customer: string, phone: string, product: string]>({
    text: `select o.order_id, o.customer_name, o.phone, o.product
           from ${batch} join orders o on ${theOrder} join ledger l on ${theRow}
           where coalesce(l.state = 'delayed', false)`,
    values: keys(chunk),
    rowMode: 'array',
  });
  const notifications = rows.map(([orderId, customer, phone, product]) => ({
    key: `${chunk.noticeId}:${orderId}`,
    to: phone,
    locale: 'ko',
    template: 'WEATHER.ko',
    text: textOf(chunk, orderId, customer, product),
  }));
  const { body } = await request(`${tmsUrl}/v1/notifications`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ notifications }),
  });
  const { results } = (await body.json()) as { results: { id: string }[] };
  await pool.query(
    `update ledger l set state = 'notified', gateway_id = k.gateway_id, settled_at = now()
     from unnest($1::uuid[], $2::text[], $3::text[]) as k (notice_id, order_id, gateway_id) where ${theRow}`,
    [rows.map(() => chunk.noticeId), rows.map(([orderId]) => orderId), results.map(({ id }) => id)],
  );
  return chunk;
}

/** Says what the template WEATHER of config/ says. */
const textOf = (chunk: Chunk, orderId: string, customer: string, product: string) =>
  `[${chunk.sellerId}] 발송 지연 안내

${customer}님, 안녕하세요.
주문하신 상품의 발송이 늦어지게 되어 진심으로 사과드립니다.

■ 상품: ${product}
■ 주문번호: ${orderId}
■ 기존 발송 예정일: 11월 23일(월)
■ 변경 발송 예정일: ${chunk.newShipDate}
■ 지연 사유: 날씨의 영향으로 수확과 출고가 늦어지고 있습니다.
■ 판매자 안내: ${chunk.detail}

가장 좋은 상태로 보내드리기 위한 결정이오니 너그러운 양해 부탁드립니다.`;

/** Keeps a notice, in one transaction as Chodang does. */
async function keep(chunks: readonly Chunk[], notice: Chunk): Promise<void> {
  await pool.query(
    `with notice as (
       insert into notices (notice_id, seller_id, path, lane, reason, new_ship_date, orders, duplicates)
       values ($1, $2, 'actors', 'bulk', 'WEATHER', $3, $4, 0)
     )
     insert into intake (notice_id, path, lane, chunk_no, chunk)
     select $1, 'actors', 'bulk', line - 1, chunk
     from string_to_table($5, E'\\n') with ordinality as c (chunk, line)`,
    [
      notice.noticeId,
      notice.sellerId,
      notice.newShipDate,
      notice.orderIds.length,
      chunks.map((chunk) => JSON.stringify(chunk)).join('\n'),
    ],
  );
}

await consume('validation', validate, 'delay');
await consume('delay', delay, 'tms');
await consume('tms', tell);

const server = createServer((asked, answer) => void take(asked, answer));
async function take(asked: IncomingMessage, answer: ServerResponse): Promise<void> {
  const body = JSON.parse((await buffer(asked)).toString()) as Omit<Chunk, 'noticeId' | 'sellerId'>;
  const notice = { ...body, noticeId: uuidv7(), sellerId };
  const chunks: Chunk[] = [];
  for (let from = 0; from < notice.orderIds.length; from += chunkSize)
    chunks.push({ ...notice, orderIds: notice.orderIds.slice(from, from + chunkSize) });
  await keep(chunks, notice);
  answer.writeHead(202, { 'content-type': 'application/json' });
  answer.end(JSON.stringify({ noticeId: notice.noticeId }));
  await Promise.all(chunks.map((chunk) => send('validation', chunk)));
  await pool.query('update intake set done_at = now() where notice_id = $1', [notice.noticeId]);
}
server.listen(0, '127.0.0.1', () => {
  const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  process.stdout.write(`${JSON.stringify({ address })}\n`);
});
process.once('SIGTERM', () => process.exit(0));
