import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { Ajv, type Options } from 'ajv';
import formats from 'ajv-formats';
import { parse } from 'yaml';
import orders from '../src/actors/orders.ts';
import { loadConfig } from '../src/config/load.ts';
import { feedExchange, topologyOf } from '../src/config/topology.ts';
import { exchangesOf } from '../src/pipeline/topology.ts';
import { MalformedEvent, OrderStatusChanged, OrderUpserted, readEvent } from '../src/rules/orderEvent.ts';
import { orderFormat } from '../src/rules/orderFormat.ts';
import { migratedDatabase } from './support/database.ts';
import { readFed } from './support/feed.ts';

interface Example {
  name: string;
  payload: { data: Record<string, unknown> } & Record<string, unknown>;
}
interface Document {
  channels: Record<string, { bindings: { amqp: { exchange: { name: string } } } }>;
  components: {
    messages: Record<string, { payload: { $ref: string }; examples: Example[] }>;
    schemas: Record<string, object>;
  };
}

const document = parse(readFileSync(new URL('../docs/asyncapi.yaml', import.meta.url), 'utf8')) as Document;
/** AsyncAPI's own description of its documents. */
const specification = createRequire(import.meta.url)('@asyncapi/specs/schemas/3.0.0.json') as object;

const ajv = (options: Options = {}) =>
  formats.default(new Ajv({ strict: false, allErrors: true, logger: false, ...options }));
const jsonOf = (value: unknown) => JSON.parse(JSON.stringify(value)) as unknown;
const { messages, schemas } = document.components;

/** Validates by the document alone, as whoever reads nothing else would. */
const validatorOf = (schema: object) => ajv().compile({ ...schema, components: document.components });

describe('docs/asyncapi.yaml', () => {
  it('is a document of AsyncAPI 3.0', () => {
    // It brings the schema of schemas along, which ajv would have too.
    const validate = ajv({ meta: false, validateSchema: false }).compile(specification);
    assert(validate(document), JSON.stringify(validate.errors, null, 1));
  });

  it('refers to nothing that is not there', () => {
    const references = [...JSON.stringify(document).matchAll(/"\$ref":"([^"]+)"/g)].map(([, to]) => to ?? '');
    assert(references.length > 10);
    for (const reference of references) {
      const path = reference.split('/').slice(1);
      const found = path.reduce<unknown>((at, key) => (at as Record<string, unknown>)?.[key], document);
      assert(found !== undefined, reference);
    }
  });

  it('has the schemas that check events, and the exchange that is declared', () => {
    assert.deepEqual(schemas['OrderUpserted'], jsonOf(OrderUpserted));
    assert.deepEqual(schemas['OrderStatusChanged'], jsonOf(OrderStatusChanged));
    assert.equal(document.channels['orders']?.bindings.amqp.exchange.name, feedExchange);
    assert(exchangesOf(topologyOf(loadConfig({ env: {} }))).includes(feedExchange));
  });

  for (const [name, { payload, examples }] of Object.entries(messages))
    for (const example of examples)
      it(`has an example that is what it says: ${name}, ${example.name}`, () => {
        const validate = validatorOf(payload);
        assert(validate(example.payload), JSON.stringify(validate.errors));
      });

  it('refuses what we refuse, and nothing else', () => {
    const strange = [
      undefined,
      null,
      '',
      'x',
      'a\nb',
      'a\0',
      -1,
      1.5,
      2 ** 53,
      7,
      true,
      [],
      {},
      '2026-02-30',
    ];
    let refused = 0;
    const both = (validate: ReturnType<typeof validatorOf>, event: unknown) => {
      // As it would come: what is undefined is not there.
      const came = jsonOf(event);
      const isMalformed = readEvent(came) instanceof MalformedEvent;
      assert.equal(validate(came), !isMalformed, JSON.stringify(came));
      refused += Number(isMalformed);
    };
    for (const name of ['OrderUpserted', 'OrderStatusChanged']) {
      const validate = validatorOf(messages[name]?.payload ?? assert.fail());
      for (const { payload } of messages[name]?.examples ?? [])
        for (const value of strange) {
          for (const field of Object.keys(payload)) both(validate, { ...payload, [field]: value });
          for (const field of Object.keys(payload.data))
            both(validate, { ...payload, data: { ...payload.data, [field]: value } });
        }
    }
    assert(refused > 100, `${refused} were refused`);
  });

  it('has examples that the actor takes in', async () => {
    const { store, drop } = await migratedDatabase();
    const all = Object.values(messages).flatMap(({ examples }) => examples);
    for (const { name, payload } of all) {
      const [chunk] = orderFormat.read(Buffer.from(JSON.stringify(payload)));
      const batch = (chunk?.items ?? []).map((item) => ({
        header: {},
        item,
        attempt: 1,
        redelivered: false,
      }));
      assert.deepEqual(
        (await orders({ store }).run(batch)).map(({ kind }) => kind),
        batch.map(() => 'done'),
        name,
      );
    }
    assert.deepEqual(
      (await readFed(store)).map(({ orderId, status }) => [orderId.slice(-2), status]),
      [
        ['17', 'shipped'],
        ['18', 'claim'],
        ['19', 'open'],
      ],
    );
    await drop();
  });
});
