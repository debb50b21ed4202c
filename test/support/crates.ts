import type { MessageFormat } from '../../src/pipeline/message.ts';

/** What the pipeline's own tests move about: the engine knows nothing of notices. */
export interface Crate {
  id: string;
}
export interface CrateHeader {
  name: string;
}

export const crate = (id: string): Crate => ({ id });

export const crateFormat: MessageFormat<CrateHeader, Crate> = {
  parseChunk(value) {
    const { header, items } = value as { header: { name: unknown }; items: Crate[] };
    if (typeof header.name !== 'string')
      throw new Error(`header.name: expected a text, got ${String(header.name)}`);
    return { header: { name: header.name }, items };
  },
  headerKeyOf: (header) => header.name,
  itemKeyOf: (item) => item.id,
  logFieldsOf: (header) => ({ crate: header.name }),
};
