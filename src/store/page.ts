/**
 * So many bytes of messages are read at once, about: the one that goes beyond it is among them, or it would never be
 * read. A page by number alone would hold hundreds of megabytes where messages are large.
 */
export const pageBytes = 8 * 1_024 * 1_024;

/** SQL for how many bytes the rows before this one have, in the order of the page; none of them is read for it. */
export const bytesBefore = (size: string, order: string) =>
  `coalesce(sum(${size}) over (order by ${order} rows between unbounded preceding and 1 preceding), 0)`;
