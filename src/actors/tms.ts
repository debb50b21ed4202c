import { notify } from '../notify.ts';
import type { Actor } from '../pipeline/actor.ts';
import type { NoticeHeader, NoticeOrder } from '../rules/notice.ts';
import type { Services } from '../services.ts';

/** Tells the customers, through the TMS gateway. */
export default function tms(services: Services): Actor<NoticeHeader, NoticeOrder> {
  return { run: (batch) => notify(services, batch) };
}
