import { type Static, Type } from 'typebox';

const closed = { additionalProperties: false };
const ms = (description: string, minimum = 0) =>
  Type.Integer({ minimum, description: `${description}, in ms` });
const count = (description: string, minimum = 1) => Type.Integer({ minimum, description });
const url = (description: string, pattern: string) =>
  Type.String({ pattern: `^$|^${pattern}`, description: `${description}; empty: the local stack's` });

const SwitchValue = Type.Union([
  Type.Boolean(),
  Type.Number(),
  Type.String(),
  Type.Record(Type.String(), Type.Unknown()),
  Type.Array(Type.Unknown()),
]);

const lane = {
  prefetch: count('messages RabbitMQ hands a consuming actor before it wants an ack'),
  batch: Type.Object(
    {
      size: count('orders that fill a batch'),
      sizeBeside: Type.Optional(count('orders that fill one while messages come in another lane as well')),
      waitMs: ms('how long a batch waits to be filled; 0: not at all'),
    },
    closed,
  ),
  consumers: Type.Object(
    { min: count('consuming actors there always are'), max: count('consuming actors at most') },
    closed,
  ),
};

const step = {
  retryMs: ms('how long a message waits in <step>.retriable', 1),
  maxAttempts: count('tries until an order that fails by itself is given up'),
  circuit: Type.Object(
    {
      failures: count('infrastructure errors in a row that open the circuit'),
      probeMs: ms('how long an open circuit waits before each probe', 1),
    },
    closed,
  ),
};

const Step = Type.Object({ ...step, lanes: Type.Record(Type.String(), Type.Object(lane, closed)) }, closed);

/** Every setting with its type and its meaning; the defaults stand in `config/default.yaml` and nowhere else. */
export const ConfigSchema = Type.Object(
  {
    postgres: Type.Object(
      {
        url: url('Postgres', 'postgres(ql)?://.+'),
        poolSize: count('connections of one process'),
      },
      closed,
    ),
    rabbitmq: Type.Object(
      {
        url: url('RabbitMQ', 'amqps?://.+'),
        managementUrl: url("RabbitMQ's management API", 'https?://.+'),
        connectWaitMs: ms('how long a start waits for RabbitMQ before it goes on without'),
        publishWaitMs: ms('how long a publish waits for a connection that is being renewed'),
        maxUnconfirmedBytes: count('bytes that may wait for a confirm before notices are refused'),
        maxPrefetchedBytes: count('bytes of messages that may be with a consuming actor, unsettled'),
      },
      closed,
    ),
    zookeeper: Type.Object(
      {
        connect: url('ZooKeeper servers', '[^/\\s]+:\\d+(,[^/\\s]+:\\d+)*$'),
        root: Type.String({ pattern: '^/[^/\\s]+(/[^/\\s]+)*$', description: 'znode that holds `switches`' }),
        sessionTimeoutMs: ms('session timeout that is asked for', 1000),
        connectWaitMs: ms('how long a start waits for ZooKeeper before it goes on without'),
        snapshotDir: Type.String({ description: 'folder for the last known switches; empty: none are kept' }),
        auth: Type.String({
          pattern: '^([^:]+:.+)?$',
          description: 'user:password for `digest`; empty: none',
        }),
        acl: Type.String({ description: 'rights of what we make, as zkCli writes them; empty: open' }),
      },
      closed,
    ),
    http: Type.Object(
      {
        host: Type.String({ minLength: 1, description: 'address to listen on' }),
        port: Type.Integer({ minimum: 0, maximum: 65_535, description: 'port to listen on; 0: a free one' }),
        bodyLimitBytes: count('largest request body, in bytes', 1024),
        maxRequests: count('notices under way at once'),
        maxBytesUnderWay: count('bytes of the large bodies of notices under way at once', 1024),
        importLimitBytes: count('largest file to import, unpacked, in bytes', 1024),
        importMaxOrders: count('orders that one file to import may name; rows beyond are rejected'),
        retryAfterSeconds: count('what a 503 tells the seller to wait, in seconds'),
      },
      closed,
    ),
    log: Type.Object(
      {
        level: Type.Enum(['trace', 'debug', 'info', 'warn', 'error', 'silent'], {
          description: 'least important level that is written',
        }),
      },
      closed,
    ),
    shop: Type.Object(
      {
        timeZone: Type.String({ minLength: 1, description: 'IANA time zone whose calendar "today" is' }),
        locale: Type.String({ minLength: 2, description: "locale of customers whose own isn't known" }),
      },
      closed,
    ),
    limits: Type.Object(
      {
        maxOrdersPerNotice: count('orders one request may name'),
        maxDaysLate: count('days a new date may lie after the promised one'),
        maxDelays: count('times an order may be delayed'),
      },
      closed,
    ),
    switches: Type.Record(
      Type.String(),
      Type.Object(
        {
          variants: Type.Array(Type.String(), { minItems: 2, maxItems: 3, description: 'old, new, third' }),
          by: Type.String({ minLength: 1, description: 'context attribute that chooses the bucket' }),
          fallback: Type.String({ description: 'variant while ZooKeeper has never been seen' }),
          attributes: Type.Optional(
            Type.Array(Type.String(), { description: 'all that a context may hold' }),
          ),
          values: Type.Optional(
            Type.Record(Type.String(), SwitchValue, {
              description: 'what each variant stands for; default: its name',
            }),
          ),
        },
        closed,
      ),
    ),
    intake: Type.Object(
      {
        sweepMs: ms('how often unpublished chunks are looked for', 1),
        sweepOlderThanMs: ms('how old they must be'),
      },
      closed,
    ),
    lanes: Type.Record(
      Type.String(),
      Type.Object({ maxOrders: Type.Optional(count('orders of the largest notice in this lane')) }, closed),
    ),
    pipeline: Type.Object(
      {
        chunkSize: count('orders in a chunk, and in a message, at most'),
        maxRedeliveries: count('times a message may take its process down', 2),
        shutdownMs: ms('how long a process may take to settle what it holds when told to stop'),
        scaling: Type.Object(
          {
            checkMs: ms('how often queue depths are looked at', 10),
            growAfter: count('looks in a row at a deep queue that add an actor'),
            shrinkAfter: count('looks in a row at an empty queue that remove one'),
          },
          closed,
        ),
      },
      closed,
    ),
    steps: Type.Record(Type.String(), Step),
    feed: Type.Object({ ...step, ...lane }, closed),
    failures: Type.Object(
      {
        batchSize: count('failed messages recorded at once'),
        retryMs: ms('wait while Postgres is away', 1),
        undoDays: count('days within which a discard may be taken back'),
        keepDays: count('days for which failures are kept that nothing is to be decided about any more'),
      },
      closed,
    ),
    alerts: Type.Object(
      {
        slackUrl: Type.String({ description: 'incoming webhook of Slack, a secret; empty: none' }),
        webhookUrl: Type.String({ description: "webhook of one's own; empty: none" }),
        webhookSecret: Type.String({
          description:
            'key that signs what goes to `webhookUrl`, `whsec_…`; two with a space while it changes',
        }),
        threshold: count('failures in a group that are worth an alert; ten times as many are one again'),
        collectMs: ms('how long an alert waits for its neighbours'),
        everyMs: ms('how long after one bundle of alerts the next may go out'),
        giveUpMs: ms('how long a bundle is sent again until it is given up', 1),
        checkMs: ms('how often failed queues are looked at, and storms looked for', 10),
        undrainedMs: ms('for how long nobody must have drained a failed queue', 1),
        storm: Type.Object(
          {
            percent: Type.Integer({
              minimum: 1,
              maximum: 99,
              description: 'more than so many percent of the orders that a step runs go to wait …',
            }),
            forMs: ms('… all through this time', 100),
            minOrders: count('fewer orders than this in that time are no storm'),
          },
          closed,
        ),
      },
      closed,
    ),
    tms: Type.Object(
      {
        url: url('TMS gateway', 'https?://.+'),
        apiKey: Type.String({ description: 'key the gateway knows us by; empty: none' }),
        timeoutMs: ms('how long a call may take', 1),
        connections: count('kept-alive connections to the gateway'),
        parallel: count('calls in flight for one batch'),
        maxRecipients: count('notifications in one call'),
        idempotentForMs: ms('how long the gateway recognizes a repeated key; 0: it does not'),
      },
      closed,
    ),
    legacy: Type.Object(
      {
        intervalMs: ms('how long between two legacy runs', 1),
        maxAttempts: count('runs until an order that fails by itself is given up'),
      },
      closed,
    ),
  },
  closed,
);

/** All settings of a process, checked and complete. */
export type Config = Static<typeof ConfigSchema>;
