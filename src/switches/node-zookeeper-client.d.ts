/** What `zookeeper.ts` uses of node-zookeeper-client 1.1.3, which has no types of its own. */
declare module 'node-zookeeper-client' {
  import type { EventEmitter } from 'node:events';
  import type { Socket } from 'node:net';

  namespace zookeeper {
    interface Stat {
      version: number;
      /** 64-bit numbers come as 8 bytes, big endian; times are in milliseconds since 1970. */
      czxid: Buffer;
      mzxid: Buffer;
      ctime: Buffer;
      mtime: Buffer;
    }

    type Watcher = () => void;
    type Callback<T extends unknown[] = []> = (error: Error | null, ...results: T) => void;

    interface Client extends EventEmitter {
      /** Not part of its public face. */
      readonly connectionManager: ConnectionManager;
      connect(): void;
      close(): void;
      addAuthInfo(scheme: string, auth: Buffer): void;
      getSessionTimeout(): number;
      getChildren(path: string, watcher: Watcher, callback: Callback<[string[]]>): void;
      getData(path: string, watcher: Watcher, callback: Callback<[Buffer | undefined, Stat]>): void;
      exists(path: string, watcher: Watcher | undefined, callback: Callback<[Stat | null]>): void;
      getACL(path: string, callback: Callback<[ACL[]]>): void;
      create(path: string, data: Buffer, acls: ACL[], callback: Callback<[string]>): void;
      setData(path: string, data: Buffer, version: number, callback: Callback<[Stat]>): void;
      remove(path: string, version: number, callback: Callback): void;
    }

    interface Id {
      scheme: string;
      id: string;
    }
    const Id: new (scheme: string, id: string) => Id;

    class ACL {
      constructor(permission: number, id: Id);
      readonly permission: number;
      readonly id: Id;
      static readonly OPEN_ACL_UNSAFE: ACL[];
    }

    interface ConnectionManager {
      socket?: Socket;
      /** Of the last answer. */
      zxid: Buffer;
      connectTimeoutHandler: NodeJS.Timeout | null;
      connect(): void;
      onSocketData(bytes: Buffer): void;
      onSocketError(error: Error): void;
    }

    function createClient(
      connect: string,
      options: { sessionTimeout: number; spinDelay: number; retries: number },
    ): Client;

    const State: { readonly SYNC_CONNECTED: object; readonly AUTH_FAILED: object };

    const Exception: {
      readonly NO_NODE: number;
      readonly NO_AUTH: number;
      readonly BAD_VERSION: number;
      readonly NODE_EXISTS: number;
    };
  }

  export = zookeeper;
}
