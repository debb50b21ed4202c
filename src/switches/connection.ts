// What the rest of Chodang knows of a connection to ZooKeeper; zookeeper.ts makes them.

/** Which state of a znode this is. */
export interface Stamp {
  /** Counts the changes since it was created, from 0. */
  readonly version: number;
  /** The transaction that created it; a znode that was deleted and made again has another. */
  readonly czxid: bigint;
  /** The transaction that wrote this value: unique, and growing over all znodes of an ensemble. */
  readonly mzxid: bigint;
  /** When the server wrote it, by the server's clock. */
  readonly changedAt: Date;
  readonly createdAt: Date;
}

/** A znode's value as it was read. */
export interface Znode extends Stamp {
  readonly data: Buffer;
}

/**
 * One connection to one server with a session of its own.
 *
 * It lives once: whatever ends it (a cut, a server that no longer answers, an expired session), it stays ended
 * and another one is made. Its watches fire once, and not at all after its end, so that whoever makes another
 * one reads everything again. A call rejects with a `ConnectionEnded` if the end comes before the answer.
 */
export interface Connection {
  /** Its address. */
  readonly server: string;
  /** What the server agreed to, in ms. */
  readonly sessionTimeoutMs: number;
  /** Settles with the reason when the connection ends; never rejects. */
  readonly ended: Promise<ConnectionEnded>;
  /** Names of the children; null, without a watch, if there is no such znode. */
  children(path: string, onChange: () => void): Promise<string[] | null>;
  /** Value of the znode; null, without a watch, if there is none. */
  read(path: string, onChange: () => void): Promise<Znode | null>;
  /** Stamp of the znode, null if there is none; also watches for one that isn't there yet. */
  exists(path: string, onChange?: () => void): Promise<Stamp | null>;
  /**
   * Rights of the znode, each as zkCli writes it, with the permissions in the order of `cdrwa`; null if there is none.
   * Who may not administer it sees `x` in place of each hash.
   */
  rights(path: string): Promise<string[] | null>;
  /** Makes the znode, with the connection's `acl`; false if it was there already. Its parent must be there. */
  create(path: string, data: Buffer): Promise<boolean>;
  /**
   * Replaces the value, and gives the new stamp; null if there is no such znode, `'conflict'` if it has another
   * version than `version` (default: whatever version it has).
   */
  write(path: string, data: Buffer, version?: number): Promise<Stamp | 'conflict' | null>;
  /** Deletes the znode if it has this version; null if there is none, `'conflict'` if it has another one. */
  remove(path: string, version: number): Promise<'removed' | 'conflict' | null>;
  /** The last transaction that the server said it knows of. */
  lastZxid(): bigint;
  /** Ends the session; leaves no timer and no socket. */
  close(): Promise<void>;
}

/** Says that a connection is over, and why. */
export class ConnectionEnded extends Error {
  override name = 'ConnectionEnded';
}
