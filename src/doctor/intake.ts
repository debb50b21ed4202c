import type { Config } from '../config/schema.ts';
import { type OverdueChunks, overdueChunks } from '../store/inspect.ts';
import type { Sql } from '../store/store.ts';
import { type Finding, ok, warn, wrong } from './check.ts';
import { looked, notThereYet } from './database.ts';
import { counted, duration } from './words.ts';

// The sweep takes up what is 30 s old, every minute.
const publishedWithinMs = 120_000;

/** Looks for accepted notices that are not passed on: nobody publishes them, or no legacy run takes them. */
export async function intakeFindings(db: Sql, { legacy }: Config): Promise<Finding[]> {
  const legacyWithinMs = 2 * legacy.intervalMs + 60_000;
  return [
    ...(await looked('intake', async () => [
      actorsFinding(await overdueChunks(db, { path: 'actors', olderThanMs: publishedWithinMs })),
    ])),
    ...(await looked('legacy', async () => [
      legacyFinding(await overdueChunks(db, { path: 'legacy', olderThanMs: legacyWithinMs }), legacyWithinMs),
    ])),
  ];
}

function actorsFinding(overdue: OverdueChunks | undefined): Finding {
  if (!overdue) return notThereYet('intake');
  if (overdue.chunks === 0) return ok('intake', 'what was accepted on path actors has been published');
  return wrong('intake', {
    found: `${chunksOf(overdue)} not been published on path actors`,
    expected: `published within ${duration(publishedWithinMs)}`,
    remedy:
      'if RabbitMQ is away or blocks (see there), bring it back: they follow by themselves. If not, no process ' +
      'sweeps: "chodang start --only api"',
  });
}

function legacyFinding(overdue: OverdueChunks | undefined, withinMs: number): Finding {
  if (!overdue) return notThereYet('legacy');
  if (overdue.chunks === 0) return ok('legacy', 'nothing waits too long for a legacy run');
  const expected = `taken within ${duration(withinMs)} (twice legacy.intervalMs and a minute)`;
  // What was tried is seen to: a run comes back to it until it succeeds or is given up.
  if (overdue.tried === overdue.chunks)
    return warn('legacy', {
      found: `${chunksOf(overdue)} not been settled on path legacy: their orders fail and are tried again`,
      expected,
      remedy: 'look for "legacy" in the log of the process that runs it',
    });
  return wrong('legacy', {
    found: `${chunksOf(overdue)} not been settled on path legacy`,
    expected,
    remedy:
      'if no process runs part legacy: "chodang start --only legacy". If one does, it is behind, since it takes ' +
      'one order after another: send new notices down the new path, "chodang switch set delay-notice-path on"',
  });
}

const chunksOf = ({ chunks, oldestMs }: OverdueChunks) =>
  `${chunks === 10_000 ? '10,000 chunks or more' : counted(chunks, 'chunk')} of notices ` +
  `(the oldest ${duration(oldestMs ?? 0)} old) ${chunks === 1 ? 'has' : 'have'}`;
