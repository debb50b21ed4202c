import { join } from 'node:path';
import { loadConfig } from '../config/load.ts';
import type { Config } from '../config/schema.ts';
import { openLog } from '../log.ts';
import { readStack, stackServers } from '../stack/stack.ts';
import { sellersWithOpenOrders } from '../store/orders.ts';
import { openStore } from '../store/store.ts';
import { switchHistory } from '../store/switchHistory.ts';
import type { SwitchSettings } from './switch/place.ts';

/**
 * Loads the configuration for a command; an address that nobody configured is the local stack's, if that runs.
 *
 * `overlay` is laid over the files, under the environment. Throws `ConfigError` with every mistake.
 */
export function loadSettings({ overlay = {} }: { overlay?: Record<string, unknown> } = {}): Config {
  const config = loadConfig({ overlay });
  const { postgres, rabbitmq, zookeeper, tms } = readStack();
  config.postgres.url ||= postgres.url ?? '';
  config.rabbitmq.url ||= rabbitmq.url ?? '';
  // The stack's page is of use only if RabbitMQ is the stack's too.
  if (config.rabbitmq.url === rabbitmq.url) config.rabbitmq.managementUrl ||= rabbitmq.managementUrl ?? '';
  if (config.zookeeper.connect === '' && zookeeper.connect !== null) {
    config.zookeeper.connect = zookeeper.connect;
    // With the data of the stack, so that wiping that leaves no snapshot of what is no more.
    config.zookeeper.snapshotDir &&= join(stackServers().zookeeper.dir, 'switches');
  }
  config.tms.url ||= tms.url ?? '';
  return config;
}

const servers = {
  postgres: ['Postgres', 'CHODANG_POSTGRES_URL', ({ postgres }: Config) => postgres.url],
  rabbitmq: ['RabbitMQ', 'CHODANG_RABBITMQ_URL', ({ rabbitmq }: Config) => rabbitmq.url],
  zookeeper: ['ZooKeeper', 'CHODANG_ZOOKEEPER', ({ zookeeper }: Config) => zookeeper.connect],
  tms: ['the TMS gateway', 'CHODANG_TMS_URL', ({ tms }: Config) => tms.url],
} as const;

/** Makes sure that the addresses a command needs are known; throws an error that names all that aren't. */
export function requireUrls(config: Config, needed: readonly (keyof typeof servers)[]): void {
  const missing = needed.map((name) => servers[name]).filter(([, , urlOf]) => urlOf(config) === '');
  if (missing.length === 0) return;
  throw new Error(
    `Nobody said where to find ${missing.map(([name]) => name).join(', ')}: set ` +
      `${missing.map(([, variable]) => variable).join(', ')}, or run "chodang stack up" for servers of your own.`,
  );
}

/** What the switch commands need to know; nothing but ZooKeeper has to be there. */
export async function switchSettings(): Promise<SwitchSettings> {
  const { zookeeper, switches, postgres } = loadSettings();
  const { root, auth, acl } = zookeeper;
  const openRecords = (root: string) => {
    const log = openLog({ level: 'error', destination: process.stderr });
    const store = openStore({ ...postgres, poolSize: 1, connectTimeoutMs: 2_000, log });
    return {
      history: switchHistory(store, root),
      contexts: async () => (await sellersWithOpenOrders(store)).map((sellerId) => ({ sellerId })),
      close: () => store.close(),
    };
  };
  return {
    connect: zookeeper.connect || undefined,
    root,
    auth,
    acl,
    registry: switches,
    openRecords: postgres.url === '' ? undefined : openRecords,
  };
}
