/** What a template can name, as `#{seller}`; the keys of `TemplateVariables`. */
export const templateVariables = [
  'customer',
  'seller',
  'product',
  'order',
  'oldDate',
  'newDate',
  'detail',
] as const;
export type TemplateVariable = (typeof templateVariables)[number];

/** One line of a template: fixed text and variables in turn. */
export type TemplateLine = (string | { readonly variable: TemplateVariable })[];

/**
 * Cuts a template's text into lines, and each line into fixed text and `#{variables}`.
 *
 * Reports every unknown variable and every `#{` without its `}`, with its line number; never throws.
 */
export function parseTemplate(text: string, report: (problem: string) => void): TemplateLine[] {
  return text.split('\n').map((line, i) => {
    const parts: TemplateLine = [];
    const [head = '', ...rest] = line.trimEnd().split('#{');
    if (head !== '') parts.push(head);
    for (const piece of rest) {
      const end = piece.indexOf('}');
      if (end < 0) {
        report(`line ${i + 1}: expected "}" after "#{${piece.slice(0, 20)}"`);
        continue;
      }
      const variable = piece.slice(0, end);
      if (isVariable(variable)) {
        parts.push({ variable });
      } else {
        report(
          `line ${i + 1}: unknown variable #{${variable}}; expected one of ${templateVariables.join(', ')}`,
        );
      }
      if (end + 1 < piece.length) parts.push(piece.slice(end + 1));
    }
    return parts;
  });
}

const isVariable = (name: string): name is TemplateVariable =>
  (templateVariables as readonly string[]).includes(name);
