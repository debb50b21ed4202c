import { measurePages } from './failurePages.ts';
import { measureRecording } from './failureRecording.ts';
import { measureRetry } from './failureRetry.ts';
import { openServers } from './open.ts';

/** What is measured of failures; each by itself, in this order. */
export const failureParts = ['recording', 'pages', 'retry'] as const;
export type FailurePart = (typeof failureParts)[number];

/**
 * What failed messages cost, on real servers: recording `messages` of them, listing them among `rows`, and retrying
 * `retries` of them; see each part. `only`: some parts and not the others. Recording and retrying are measured `runs`
 * times, after one that only warms up; the rows for the pages stay while retrying.
 */
export async function failures(options: {
  runs: number;
  messages: number;
  rows: number;
  retries: number;
  only?: readonly FailurePart[] | undefined;
  say: (line: string) => void;
}) {
  const { runs, only = failureParts } = options;
  const servers = await openServers(options.say);
  try {
    return {
      scenario: 'failures',
      runs,
      ...(only.includes('recording') && (await measureRecording(servers, options))),
      ...(only.includes('pages') && (await measurePages(servers, options))),
      ...(only.includes('retry') && (await measureRetry(servers, options))),
    };
  } finally {
    await servers.close();
  }
}
