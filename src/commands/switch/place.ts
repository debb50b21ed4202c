import type { SwitchRegistry } from '../../switches/definition.ts';
import type { SwitchHistory } from '../../switches/history.ts';
import type { SwitchContext } from '../../switches/switch.ts';
import type { SwitchPlace } from '../../switches/write.ts';

/** Where the configuration says the switches are; a command's options and the environment win over it. */
export interface SwitchSettings {
  /** `host:port,host:port`; undefined if nobody configured any. */
  connect: string | undefined;
  root: string | undefined;
  registry: SwitchRegistry;
  auth?: string | undefined;
  acl?: string | undefined;
  /** Opens what the database knows of the switches below a root; undefined if nobody configured one. */
  openRecords?: ((root: string) => SwitchRecords) | undefined;
}

/** What is not in ZooKeeper: who changed what, and whom a change would concern. */
export interface SwitchRecords {
  history: SwitchHistory;
  /** Everyone for whom a switch is evaluated, as far as it is known. */
  contexts(): Promise<SwitchContext[]>;
  close(): Promise<void>;
}

/** The options of every `chodang switch …`. */
export interface PlaceOptions {
  zookeeper?: string;
  root?: string;
  json?: boolean;
}

/** Puts together where the switches of a command are. */
export function placeOf(configured: SwitchSettings, options: PlaceOptions): SwitchPlace {
  const connect = options.zookeeper ?? configured.connect;
  if (connect === undefined)
    throw new Error('no ZooKeeper is known; give --zookeeper host:port or set CHODANG_ZOOKEEPER');
  const { registry, auth, acl } = configured;
  return { connect, root: options.root ?? configured.root ?? '/chodang', registry, auth, acl };
}

/** Does something with the records; throws an error that says so if there are none. */
export async function withRecords<T>(
  { openRecords }: SwitchSettings,
  { root }: Pick<SwitchPlace, 'root'>,
  work: (records: SwitchRecords) => Promise<T>,
): Promise<T> {
  if (!openRecords)
    throw new Error('no Postgres is known, where the history is kept; set CHODANG_POSTGRES_URL');
  const records = openRecords(root);
  try {
    return await work(records);
  } finally {
    await records.close();
  }
}
