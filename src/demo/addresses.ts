import type { Config } from '../config/schema.ts';
import { addDays } from '../rules/dates.ts';
import type { ShipDate } from '../rules/notice.ts';

const cli = 'npx tsx src/main.ts';

/** Where to look, and what to type: by what it is. */
export interface Addresses {
  api: string;
  openapi: string;
  metrics: string;
  /** RabbitMQ's page, and its login; null where it isn't known. */
  rabbitmq: { url: string; user: string; password: string } | null;
  /** What one customer received, at the simulator; null if nobody was told anything. */
  customer: string | null;
  flipSwitch: string;
  zkCli: string;
  curl: string | null;
}

export interface AddressesOptions {
  config: Config;
  api: string;
  managementUrl: string | null;
  /** ZooKeeper's own shell. */
  zkCli: string;
  /** An order whose customer was told, with its seller's key. */
  sample: { orderId: string; apiKey: string; phone: string; newShipDate: ShipDate } | undefined;
}

/** Collects the addresses to look at after a run. */
export function addressesOf({ config, api, managementUrl, zkCli, sample }: AddressesOptions): Addresses {
  const management = managementUrl === null ? undefined : new URL(managementUrl);
  const { connect, root } = config.zookeeper;
  const notice = sample && {
    reason: 'WEATHER',
    newShipDate: addDays(sample.newShipDate, 2),
    orderIds: [sample.orderId],
  };
  return {
    api,
    openapi: `${api}/openapi.json`,
    metrics: `${api}/metrics`,
    rabbitmq: management
      ? {
          url: `${management.origin}/`,
          user: decodeURIComponent(management.username),
          password: decodeURIComponent(management.password),
        }
      : null,
    customer: sample
      ? `${config.tms.url.replace(/\/+$/, '')}/customers/${encodeURIComponent(sample.phone)}`
      : null,
    flipSwitch: `${cli} switch set delay-notice-path off`,
    zkCli: `${zkCli} -server ${connect} set ${root}/switches/delay-notice-path off`,
    curl:
      notice && sample
        ? `curl ${api}/v1/delay-notices -H 'Authorization: Bearer ${sample.apiKey}' ` +
          `-H 'Content-Type: application/json' -d '${JSON.stringify(notice)}'`
        : null,
  };
}

/** Writes them for people; `running` tells whether the API still answers afterwards. */
export function toldAddresses(addresses: Addresses, { running }: { running: boolean }): string {
  const { rabbitmq } = addresses;
  const lines: [string, string | null][] = [
    ...(running
      ? ([
          ['API', addresses.api],
          ['  described', addresses.openapi],
          ['  metrics', addresses.metrics],
          ['post another one', addresses.curl],
        ] satisfies [string, string | null][])
      : []),
    ['what a customer got', addresses.customer],
    ['RabbitMQ', rabbitmq && `${rabbitmq.url} (user ${rabbitmq.user}, password ${rabbitmq.password})`],
    ['to the old path', addresses.flipSwitch],
    ['  or with zkCli', addresses.zkCli],
    ['  and back', addresses.flipSwitch.replace(/off$/, 'on')],
  ];
  const table = lines
    .filter(([, value]) => value !== null)
    .map(([name, value]) => `  ${name.padEnd(22)}${value}\n`)
    .join('');
  const end = running
    ? `Running until Ctrl-C; the servers stay up for a quick second run: ${cli} stack down stops them.\n`
    : `The servers stay up for a quick second run: ${cli} stack down stops them, ${cli} start runs the API.\n`;
  return `\n${table}\n${end}`;
}
