/**
 * Writes one line of CSV (RFC 4180): fields with a comma, a quote or a line break are quoted.
 *
 * A text that a spreadsheet would run as a formula (it begins with `=`, `+`, `-`, `@`, a tab or a carriage
 * return) gets an apostrophe in front, as OWASP advises ("CSV Injection"): order ids and notes are others' words.
 */
export function csvLine(fields: readonly (string | null)[]): string {
  return `${fields.map((field) => (field === null ? '' : quote(guard(field)))).join(',')}\r\n`;
}

const guard = (field: string) => (/^[=+\-@\t\r]/.test(field) ? `'${field}` : field);
const quote = (field: string) => (/[",\r\n]/.test(field) ? `"${field.replaceAll('"', '""')}"` : field);
