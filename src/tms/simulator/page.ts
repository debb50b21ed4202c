import type { Delivery } from './account.ts';

const style = `
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 34rem; padding: 1rem }
h1 { font-size: 1.25rem; margin: 0 0 .75rem }
form { display: flex; gap: .5rem; margin-bottom: .75rem }
input { flex: 1; min-width: 0; font: inherit; padding: .5rem .75rem; border: 1px solid #8886; border-radius: .5rem }
button { font: inherit; padding: .5rem 1rem; border: 0; border-radius: .5rem; background: #b8860b; color: #fff }
.note { color: #888; font-size: .875rem }
article { margin: 1rem 0 }
header { display: flex; justify-content: space-between; gap: .5rem; font-size: .875rem; margin-bottom: .25rem }
a { color: #b8860b }
pre { font: inherit; white-space: pre-wrap; overflow-wrap: anywhere; margin: 0; padding: .75rem 1rem;
  background: #8881; border: 1px solid #8883; border-radius: .25rem 1rem 1rem 1rem }
footer { color: #888; font-size: .75rem; margin-top: .25rem; overflow-wrap: anywhere }`;

/**
 * Writes the page that shows what customers received, newest first; whatever came in from outside is escaped.
 *
 * `base` is put before every link: empty, or `/accounts/<name>`.
 */
export function customersPage(view: {
  base: string;
  title: string;
  search: string;
  deliveries: readonly Delivery[];
  total: number;
}): string {
  const { base, title, search, deliveries, total } = view;
  const shown =
    deliveries.length === 0
      ? 'Nothing here.'
      : `${deliveries.length} shown, newest first; ${total.toLocaleString('en')} delivered in all.`;
  return `<!doctype html>
<html lang="ko">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escape(title)}</title>
<style>${style}</style>
</head>
<body>
<h1>${escape(title)}</h1>
<form action="${escape(base)}/" method="get">
<input name="q" type="search" inputmode="tel" placeholder="phone number, 010-1234-5678" aria-label="phone number" value="${escape(search)}">
<button>Search</button>
</form>
<p class="note">${escape(shown)}</p>
${deliveries.map((delivery) => article(delivery, base)).join('\n')}
</body>
</html>
`;
}

function article(delivery: Delivery, base: string): string {
  const time = new Date(delivery.at).toISOString();
  return `<article>
<header><a href="${escape(base)}/customers/${encodeURIComponent(delivery.to)}">${escape(delivery.to)}</a>
<time class="note" datetime="${time}">${time.slice(0, 19).replace('T', ' ')} UTC</time></header>
<pre lang="${escape(delivery.locale)}">${escape(delivery.text)}</pre>
<footer>${escape(delivery.template)} · ${escape(delivery.key)}</footer>
</article>`;
}

/** Makes text safe inside an element and inside a quoted attribute. */
export function escape(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll("'", '&#39;');
}

/** Returns the digits to look for when someone types a phone number: `010-1234` is the start of `+82101234…`. */
export function searchedDigits(typed: string): string {
  return typed.replace(/\D/g, '').replace(/^0/, '82');
}
