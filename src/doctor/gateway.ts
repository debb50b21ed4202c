import { request } from 'undici';
import type { Config } from '../config/schema.ts';
import { type Finding, ok, warn, wrong } from './check.ts';
import { patienceMs } from './within.ts';
import { reasonOf } from './words.ts';

/** Looks whether the TMS gateway answers at all. Nothing is sent to anybody: it asks for the address itself, without our key. */
export async function gatewayFindings({ tms }: Config): Promise<Finding[]> {
  if (tms.url === '') return [];
  let where = tms.url;
  try {
    const url = new URL(tms.url);
    where = `${url.origin}${url.pathname}`;
    const { statusCode, body } = await request(where, { signal: AbortSignal.timeout(patienceMs) });
    await body.dump();
    if (statusCode < 500) return [ok('answers', `${where} answers (${statusCode})`)];
    return [
      warn('answers', {
        found: `${where} answers ${statusCode}`,
        expected: 'a status below 500; which one does not matter',
        remedy:
          'ask the provider. Meanwhile nothing is lost: orders wait in tms.retriable, no attempt is counted',
      }),
    ];
  } catch (error) {
    return [
      wrong('answers', {
        found: `${where} does not answer: ${reasonOf(error)}`,
        expected: 'an answer over HTTP, whatever its status',
        remedy:
          'look at CHODANG_TMS_URL and the way there, or ask the provider; the simulator is started by ' +
          '"chodang stack up". Meanwhile nothing is lost: orders wait in tms.retriable, no attempt is counted',
      }),
    ];
  }
}
