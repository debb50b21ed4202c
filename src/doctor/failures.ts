import type { Config } from '../config/schema.ts';
import {
  type IdleOperation,
  idleOperations,
  type OpenFailures,
  openFailures,
  type UndeliveredAlerts,
  undeliveredAlerts,
} from '../store/inspect.ts';
import { ping } from '../store/store.ts';
import { type Finding, ok, warn, wrong } from './check.ts';
import { looked, notThereYet, withDatabase } from './database.ts';
import { within } from './within.ts';
import { counted, duration, reasonOf } from './words.ts';

const idleMs = 600_000;

/** Looks at failures nobody has seen to, alerts that reached nobody, and operations that don't get on. */
export async function failuresFindings(config: Config): Promise<Finding[]> {
  if (config.postgres.url === '') return [];
  return withDatabase(config, async (db) => {
    try {
      await within(ping(db));
    } catch (error) {
      return [
        warn('failures', {
          found: `not looked at: ${reasonOf(error)}`,
          remedy: 'bring Postgres back first: see what is said of it',
        }),
      ];
    }
    return [
      ...(await looked('failures', async () => [openFinding(await openFailures(db))])),
      ...(await looked('alerts', async () => alertFindings(await undeliveredAlerts(db)))),
      ...(await looked('operations', async () => operationFindings(await idleOperations(db, idleMs)))),
    ];
  });
}

function openFinding(open: OpenFailures | undefined): Finding {
  if (!open) return notThereYet('failures');
  const { failures, groups, lastFailedAt } = open;
  if (failures === 0) return ok('failures', 'no failure is open');
  const many =
    failures === 10_000
      ? '10,000 failures or more are'
      : `${counted(failures, 'failure')} ${failures === 1 ? 'is' : 'are'}`;
  return warn('failures', {
    found: `${many} open, in ${counted(groups, 'group')}; the last one failed at ${lastFailedAt?.toISOString()}`,
    expected: 'none',
    remedy: 'run "chodang failed groups", and retry or discard them',
  });
}

function alertFindings(undelivered: UndeliveredAlerts[] | undefined): Finding[] {
  if (!undelivered) return [notThereYet('alerts')];
  if (undelivered.length === 0) return [ok('alerts', 'no alert waits in vain to be delivered')];
  return undelivered.map(({ channel, gaveUp, bundles, error, attempts }) => {
    const many = counted(bundles, 'bundle');
    const why = `channel "${channel}"${error === null ? '' : `: ${error}`}`;
    const expected = 'delivered at the first or second try';
    return gaveUp
      ? wrong('alerts', {
          found: `${many} of alerts did not arrive, and nobody tries any more; ${why}`,
          expected,
          remedy: `mend the channel; what was missed is in "chodang failed groups"`,
        })
      : warn('alerts', {
          found: `${many} of alerts did not arrive yet, after up to ${counted(attempts, 'try', 'tries')}; ${why}`,
          expected,
          remedy: 'mend the channel: they are sent again by themselves',
        });
  });
}

function operationFindings(idle: IdleOperation[] | undefined): Finding[] {
  if (!idle) return [notThereYet('operations')];
  if (idle.length === 0) return [ok('operations', 'no operation on failures is stuck')];
  return idle.map(({ operationId, kind, who, ageMs }) =>
    warn('operations', {
      found:
        `${kind} ${operationId} of ${who} began ${duration(ageMs)} ago, and published nothing in the last ` +
        duration(idleMs),
      expected: 'it gets on, or ends',
      remedy:
        'does a process with part failures run? "chodang start --only failures". If one does, its retries may wait ' +
        'for what they sent: see the queues',
    }),
  );
}
