import { dispatchHistory } from './dispatch-history.ts';
import { plain } from './plain.ts';
import type { RowReader } from './row.ts';

/** What a mapping may name as its `adapter`. */
export const adapters: Readonly<Record<string, RowReader>> = { plain, 'dispatch-history': dispatchHistory };
