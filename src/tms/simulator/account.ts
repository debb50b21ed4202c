import type { Notification } from '../gateway.ts';
import { FaultSettings, type Faults } from './faults.ts';
import { type Entry, JournalFile, type Place } from './journalFile.ts';

/** One notification that reached a customer's phone. */
export interface Delivery extends Notification {
  /** 1 for the account's first delivery, and so on; the cursor `after`. */
  n: number;
  /** When, in ms since 1970. */
  at: number;
}

/** What is kept in memory of a delivery; the rest stays in the file. */
interface Kept extends Pick<Delivery, 'n' | 'key' | 'to' | 'at'> {
  /** Its call, and which of its notifications it is. */
  place: Place;
  index: number;
}

/** What the simulator answers for one notification. */
export interface Result {
  key: string;
  status: 'delivered' | 'permanent' | 'retriable' | 'unconfirmed';
  id?: string;
  reason?: string;
}

/** What an account did so far; a restart forgets only the calls that it did not accept. */
export interface Stats {
  /** How often a customer's phone rang, repeats included. */
  delivered: number;
  distinctKeys: number;
  /** How many keys were delivered more than once: customers who were told twice. */
  repeatedKeys: number;
  maxPerKey: number;
  /** How many notifications were answered from memory, because their key was known. */
  recognized: number;
  /** How many notifications went to wrong numbers, each try counted. */
  permanent: number;
  /** How many calls came in, accepted or not. */
  calls: number;
}

/** Which deliveries to look for. */
export interface Query {
  key?: string | undefined;
  /** A phone number, whole. */
  to?: string | undefined;
  /** Only deliveries with a greater `n`. */
  after?: number | undefined;
}

/** E.164. */
const phoneNumber = /^\+[1-9]\d{6,14}$/;

/** Tells why a number can't be reached, by rule of the simulator: not E.164, or ending in 0000. */
export function wrongNumber(to: string): string | undefined {
  if (!phoneNumber.test(to)) return 'not a phone number';
  return to.endsWith('0000') ? 'wrong number' : undefined;
}

/** One tenant of the simulator: what it delivered, in memory and on disk, and its faults. */
export class Account {
  readonly name: string;
  readonly faults = new FaultSettings();
  readonly #file: JournalFile;
  #deliveries: Kept[] = [];
  /** The call that was read last. */
  #lastRead: { place: Place; entry: Entry } | undefined;
  readonly #byKey = new Map<string, { id: string; times: number }>();
  #stats: Stats = emptyStats();

  constructor(name: string, path: string) {
    this.name = name;
    this.#file = new JournalFile(path, ({ at, took, call }, place) => {
      this.#stats.calls++;
      call.notifications.forEach((notification, i) => {
        if (took[i] === 'd') this.#deliver(notification, at, place, i);
        if (took[i] === 'p') this.#stats.permanent++;
        if (took[i] === 'r') this.#stats.recognized++;
      });
    });
  }

  /** Counts a call that comes in, and returns the faults it meets. */
  begin(): Faults {
    this.#stats.calls++;
    return this.faults.take();
  }

  /** Delivers a call's notifications and remembers them on disk (`body` as it came) before it returns the results. */
  accept(notifications: Notification[], body: Buffer, faults: Faults): Result[] {
    const at = Date.now();
    let took = '';
    const place: Place = { position: 0, bytes: 0 }; // until it is written
    const results = notifications.map((notification, index): Result => {
      const { key, to } = notification;
      const known = faults.idempotent === false ? undefined : this.#byKey.get(key);
      if (known) {
        took += 'r';
        this.#stats.recognized++;
        return { key, status: 'delivered', id: known.id };
      }
      const planned =
        faults.recipients && Object.hasOwn(faults.recipients, to) ? faults.recipients[to] : undefined;
      if (planned === 'retriable') {
        took += '.';
        return { key, status: 'retriable', reason: 'this recipient can not be served now' };
      }
      const wrong = planned === 'permanent' ? 'wrong number' : wrongNumber(to);
      if (wrong !== undefined) {
        took += 'p';
        this.#stats.permanent++;
        return { key, status: 'permanent', reason: wrong };
      }
      took += 'd';
      const id = this.#deliver(notification, at, place, index);
      return planned === 'unconfirmed'
        ? { key, status: 'unconfirmed', reason: 'no word from the network' }
        : { key, status: 'delivered', id };
    });
    Object.assign(place, this.#file.append(at, took, body));
    return results;
  }

  /** Returns up to `limit` deliveries that match, oldest first, or newest first. */
  find(query: Query, limit: number, order: 'oldest' | 'newest' = 'oldest'): Delivery[] {
    const found: Delivery[] = [];
    const count = this.#deliveries.length;
    for (let i = 0; i < count && found.length < limit; i++) {
      const delivery = this.#deliveries[order === 'oldest' ? i : count - 1 - i];
      if (delivery && matches(delivery, query)) found.push(this.#whole(delivery));
    }
    return found;
  }

  count(query: Query): number {
    return this.#deliveries.reduce((sum, delivery) => sum + (matches(delivery, query) ? 1 : 0), 0);
  }

  /** Returns up to `limit` deliveries, newest first, to phone numbers that hold `digits`. */
  search(digits: string, limit: number): Delivery[] {
    return this.#deliveries
      .filter(({ to }) => to.includes(digits))
      .slice(-limit)
      .toReversed()
      .map((delivery) => this.#whole(delivery));
  }

  stats(): Stats {
    return this.#stats;
  }

  /** Forgets everything it ever did, also on disk; the faults stay. */
  forget(): void {
    this.#file.empty();
    this.#deliveries = [];
    this.#lastRead = undefined;
    this.#byKey.clear();
    this.#stats = emptyStats();
  }

  close(): void {
    this.#file.close();
  }

  #whole({ n, at, place, index }: Kept): Delivery {
    if (this.#lastRead?.place !== place) this.#lastRead = { place, entry: this.#file.read(place) };
    const notification = this.#lastRead.entry.call.notifications[index];
    if (!notification) throw new Error(`delivery ${n} is not in the file`);
    const { key, to, locale, template, text } = notification;
    return { n, key, to, locale, template, text, at };
  }

  #deliver({ key, to }: Notification, at: number, place: Place, index: number): string {
    const n = this.#deliveries.push({ n: this.#deliveries.length + 1, key, to, at, place, index });
    const id = `sim-${n}`;
    const known = this.#byKey.get(key);
    const times = (known?.times ?? 0) + 1;
    if (known) known.times = times;
    else this.#byKey.set(key, { id, times });
    this.#stats.delivered++;
    this.#stats.distinctKeys = this.#byKey.size;
    if (times === 2) this.#stats.repeatedKeys++;
    if (times > this.#stats.maxPerKey) this.#stats.maxPerKey = times;
    return id;
  }
}

function matches(delivery: Pick<Delivery, 'n' | 'key' | 'to'>, { key, to, after }: Query): boolean {
  return (
    (key === undefined || delivery.key === key) &&
    (to === undefined || delivery.to === to) &&
    (after === undefined || delivery.n > after)
  );
}

const emptyStats = (): Stats => ({
  delivered: 0,
  distinctKeys: 0,
  repeatedKeys: 0,
  maxPerKey: 0,
  recognized: 0,
  permanent: 0,
  calls: 0,
});
