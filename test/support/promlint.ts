/** What `promtool check metrics` says of one metric. */
interface Metric {
  name: string;
  help: string;
  type: string;
  labels: Set<string>;
}

const prefixes =
  'pico|nano|micro|milli|centi|deci|deca|hecto|kilo|kibi|mega|mibi|giga|gibi|tera|tebi|peta|pebi';
const baseUnits = 'amperes|bytes|celsius|grams|joules|kelvin|meters|metres|seconds|volts';
const otherUnits =
  'minutes|hours|days|weeks|kelvins|fahrenheit|rankine|inches|yards|miles|bits|calories|pounds|ounces';
const noBaseUnit = new RegExp(
  `(?:^|_)(?:(?:${prefixes})(?:${baseUnits}|${otherUnits})|${otherUnits})(?:_|$)`,
);
const abbreviation = /_(?:s|ms|us|ns|sec|b|kb|mb|gb|tb|pb|m|h|d)(?:_|$)/;
const typeInName = /(?:^|_)(?:counter|gauge|histogram|summary|untyped)(?:_|$)/;

/**
 * Finds what `promtool check metrics` would find in a page of metrics, in its words, as far as its rules are about
 * names, help and types: https://github.com/prometheus/client_golang/tree/main/prometheus/testutil/promlint
 */
export function promlint(page: string): string[] {
  const metrics = read(page);
  const problems: string[] = [];
  for (const { name, help, type, labels } of metrics) {
    const say = (problem: string) => problems.push(`${name}: ${problem}`);
    if (help.trim() === '') say('no help text');
    if (type === 'untyped') say('no type');
    if (type === 'counter' && !name.endsWith('_total')) say('counter metrics should have "_total" suffix');
    if (type !== 'counter' && name.endsWith('_total'))
      say('non-counter metrics should not have "_total" suffix');
    if (type !== 'histogram' && name.endsWith('_bucket'))
      say('non-histogram metrics should not have "_bucket" suffix');
    if (type !== 'histogram' && type !== 'summary' && /_(count|sum)$/.test(name))
      say('non-histogram and non-summary metrics should not have "_count" or "_sum" suffix');
    if (type !== 'histogram' && labels.has('le')) say('non-histogram metrics should not have "le" label');
    if (type !== 'summary' && labels.has('quantile'))
      say('non-summary metrics should not have "quantile" label');
    if (name.includes(':')) say('metric names should not contain ":"');
    for (const word of [name, ...labels])
      if (/[a-z][A-Z]/.test(word)) say(`"${word}" should be written in "snake_case" not "camelCase"`);
    if (noBaseUnit.test(name)) say('use base units such as seconds and bytes');
    if (abbreviation.test(name)) say('metric names should not contain abbreviated units');
    if (typeInName.test(name)) say('metric name should not include its type');
  }
  return problems;
}

function read(page: string): Metric[] {
  const metrics = new Map<string, Metric>();
  const metricOf = (name: string) => {
    const metric = metrics.get(name) ?? { name, help: '', type: 'untyped', labels: new Set() };
    metrics.set(name, metric);
    return metric;
  };
  for (const line of page.split('\n')) {
    if (line === '') continue;
    const about = /^# (HELP|TYPE) (\S+) ?(.*)$/.exec(line);
    if (about) {
      const [, what, name = '', text = ''] = about;
      if (what === 'HELP') metricOf(name).help = text;
      else metricOf(name).type = text;
      continue;
    }
    const sample = /^([A-Za-z_:][\w:]*)(\{.*\})? (\S+)$/.exec(line);
    if (!sample) throw new Error(`expected a line of Prometheus's text format, got ${line}`);
    const [, name = '', labels = ''] = sample;
    const base = name.replace(/_(bucket|count|sum)$/, '');
    const ofHistogram = ['histogram', 'summary'].includes(metrics.get(base)?.type ?? '');
    const metric = metricOf(ofHistogram ? base : name);
    for (const [, label = ''] of labels.matchAll(/[{,]([A-Za-z_]\w*)="/g)) metric.labels.add(label);
  }
  return [...metrics.values()];
}
