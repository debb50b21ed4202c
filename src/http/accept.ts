/** Tells whether an `Accept` header asks for CSV rather than JSON; JSON is what comes unless CSV is named (RFC 9110, 12.5.1). */
export function prefersCsv(accept: string | undefined): boolean {
  const csv = qualityOf(accept, 'text/csv');
  return csv > 0 && csv >= qualityOf(accept, 'application/json');
}

function qualityOf(accept: string | undefined, mediaType: string): number {
  for (const range of (accept ?? '').split(',')) {
    const [name, ...parameters] = range.split(';').map((part) => part.trim().toLowerCase());
    if (name !== mediaType) continue;
    const q = parameters.find((parameter) => parameter.startsWith('q='));
    return q === undefined ? 1 : Number(q.slice(2)) || 0;
  }
  return 0;
}
