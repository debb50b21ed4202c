import { type Static, type TSchema, Type } from 'typebox';
import { Check } from 'typebox/value';
import { request } from 'undici';
import { patienceMs } from './within.ts';

// What we need of the answers of RabbitMQ's management API, 3.10 to 4.x; whatever else there is in them is not ours.
const Arguments = Type.Record(Type.String(), Type.Unknown());

export const Overview = Type.Object({
  /** `none`: it counts no deliveries. */
  rates_mode: Type.Optional(Type.String()),
  /** It counts nothing at all, but perhaps how many messages there are. */
  disable_stats: Type.Optional(Type.Boolean()),
});

export const Exchanges = Type.Array(
  Type.Object({ name: Type.String(), type: Type.String(), durable: Type.Boolean() }),
);

export const Queues = Type.Array(
  Type.Object({
    name: Type.String(),
    arguments: Type.Optional(Arguments),
    /** All there are, held ones included; missing where none were counted yet. */
    messages: Type.Optional(Type.Number()),
    /** Of these, dead letters that no other queue has confirmed yet. */
    messages_dlx: Type.Optional(Type.Number()),
    /** Seconds since 1970; missing for a quorum queue of 3.10. */
    head_message_timestamp: Type.Optional(Type.Unknown()),
    messages_details: Type.Optional(Type.Unknown()),
    messages_unacknowledged_details: Type.Optional(Type.Unknown()),
    message_stats: Type.Optional(Type.Unknown()),
  }),
);

export const Bindings = Type.Array(
  Type.Object({
    source: Type.String(),
    destination: Type.String(),
    destination_type: Type.String(),
    routing_key: Type.String(),
    arguments: Type.Optional(Arguments),
    properties_key: Type.Optional(Type.String()),
  }),
);

export const FeatureFlags = Type.Array(Type.Object({ name: Type.String(), state: Type.String() }));

export const Nodes = Type.Array(
  Type.Object({
    name: Type.String(),
    running: Type.Optional(Type.Boolean()),
    mem_alarm: Type.Optional(Type.Boolean()),
    disk_free_alarm: Type.Optional(Type.Boolean()),
  }),
);

export const Connections = Type.Array(
  Type.Object({
    state: Type.Optional(Type.String()),
    vhost: Type.Optional(Type.String()),
    user_provided_name: Type.Optional(Type.String()),
  }),
);

/** RabbitMQ's management API, of which only questions are asked. */
export interface Management {
  /** Where it is, without user and password. */
  readonly origin: string;
  /** The virtual host, as it stands in a path. */
  readonly vhost: string;
  /** Gives the answer to `GET /api/<path>`; throws if there is none, or not one of that form. */
  ask<Schema extends TSchema>(path: string, schema: Schema): Promise<Static<Schema>>;
  /** How far the clock of the node that answers is ahead, in ms, give or take half a second. */
  skewMs(): Promise<number>;
}

/** Says that the management API refused a question. */
export class ManagementRefused extends Error {
  override name = 'ManagementRefused';
}

/** Makes ready to ask the management API at `managementUrl` about the virtual host of `amqpUrl`. */
export function managementAt(managementUrl: string, amqpUrl: string): Management {
  const url = new URL(managementUrl);
  const base = `${url.origin}${url.pathname.replace(/\/+$/, '')}/api/`;
  const [user, password] = [url.username, url.password].map(decodeURIComponent);
  const get = async (path: string) => {
    // Not `fetch`, which refuses some ports, and would follow a redirect with the password.
    const { statusCode, headers, body } = await request(base + path, {
      headers: {
        accept: 'application/json',
        ...(user !== '' && {
          authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`,
        }),
      },
      signal: AbortSignal.timeout(patienceMs),
    });
    const text = await body.text();
    const where = `/api/${path.split('?')[0]}`;
    if (statusCode === 401 || statusCode === 403)
      throw new ManagementRefused(`it does not let user "${user}" see ${where} (${statusCode})`);
    if (statusCode !== 200) throw new Error(`GET ${where}: it answered ${statusCode}`);
    return { headers, text, where };
  };
  return {
    origin: url.origin,
    vhost: encodeURIComponent(vhostOf(amqpUrl)),
    async ask(path, schema) {
      const { text, where } = await get(path);
      const answer: unknown = JSON.parse(text);
      if (!Check(schema, answer)) throw new Error(`GET ${where}: an answer of a form we don't know`);
      return answer;
    },
    async skewMs() {
      const asked = Date.now();
      const { headers } = await get('overview?columns=node');
      const here = (asked + Date.now()) / 2;
      const date = Date.parse(String(headers['date']));
      if (Number.isNaN(date)) throw new Error('it does not say what time it is');
      // The second is cut off in the header.
      return date + 500 - here;
    },
  };
}

/** Names the virtual host that an AMQP URL leads to. */
export function vhostOf(amqpUrl: string): string {
  return decodeURIComponent(new URL(amqpUrl).pathname.slice(1)) || '/';
}
