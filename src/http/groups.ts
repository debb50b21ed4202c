export interface GroupsOptions<Item, Result> {
  /** Does the work for some items at once; one result for each, in order. What it throws is every item's. */
  run: (items: readonly Item[]) => Promise<readonly (Result | Error)[]>;
  /** How much of a group an item fills. */
  sizeOf: (item: Item) => number;
  /** A group is full with so much in it; an item that is larger goes by itself. */
  maxSize: number;
  /** A group is full with so many items. */
  maxItems: number;
  /** So many groups run at once; what comes meanwhile gathers for the next. */
  inFlight: number;
}

/** Gathers items that come one by one, so that many are done at the price of one. */
export interface Groups<Item, Result> {
  /** Resolves with the item's own result; rejects with its own error. */
  add(item: Item): Promise<Result>;
}

/**
 * Makes groups of what is added: while fewer than `inFlight` run, all that comes in one turn of the event loop is a
 * group, so that nobody waits for company; with more to do, what waits gathers.
 */
export function createGroups<Item, Result>(options: GroupsOptions<Item, Result>): Groups<Item, Result> {
  const { run, sizeOf, maxSize, maxItems, inFlight } = options;
  interface Waiting {
    item: Item;
    resolve: (result: Result) => void;
    reject: (error: Error) => void;
  }
  let waiting: Waiting[] = [];
  let running = 0;
  let begins = false;

  const takeGroup = (): Waiting[] => {
    let size = 0;
    let count = 0;
    for (const { item } of waiting) {
      size += sizeOf(item);
      if (count === maxItems || (count > 0 && size > maxSize)) break;
      count += 1;
    }
    const group = waiting.slice(0, count);
    waiting = waiting.slice(count);
    return group;
  };

  const runGroup = async (group: readonly Waiting[]): Promise<void> => {
    try {
      const results = await run(group.map(({ item }) => item));
      group.forEach(({ resolve, reject }, at) => {
        const result = results[at];
        if (result instanceof Error) reject(result);
        else if (result === undefined) reject(new Error('a group was answered with too few results'));
        else resolve(result);
      });
    } catch (error) {
      for (const { reject } of group) reject(error as Error);
    }
  };

  const begin = () => {
    begins = false;
    while (running < inFlight && waiting.length > 0) {
      running += 1;
      void runGroup(takeGroup()).finally(() => {
        running -= 1;
        begin();
      });
    }
  };

  return {
    add(item) {
      return new Promise((resolve, reject) => {
        waiting.push({ item, resolve, reject });
        if (begins) return;
        begins = true;
        setImmediate(begin);
      });
    },
  };
}
