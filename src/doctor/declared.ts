import type { Static } from 'typebox';
import { exchangesOf, type QueueDeclaration, queuesOf, type TopologyOptions } from '../pipeline/topology.ts';
import { asked } from './asked.ts';
import { type Finding, ok, warn, wrong } from './check.ts';
import { Bindings, Exchanges, type Management, Queues } from './management.ts';
import { counted } from './words.ts';

/** Looks whether exchanges, queues and bindings are as every process declares them. */
export async function declaredFindings(
  management: Management,
  topology: TopologyOptions,
): Promise<Finding[]> {
  const { vhost } = management;
  const queues = queuesOf(topology);
  const findings = await Promise.all([
    asked(management, 'exchanges', async () =>
      exchangeFindings(
        exchangesOf(topology),
        await management.ask(`exchanges/${vhost}?columns=name,type,durable`, Exchanges),
      ),
    ),
    asked(management, 'arguments', async () =>
      argumentFindings(queues, await management.ask(`queues/${vhost}?columns=name,arguments`, Queues)),
    ),
    asked(management, 'bindings', async () =>
      bindingFindings(topology, await management.ask(`bindings/${vhost}`, Bindings)),
    ),
  ]);
  return findings.flat();
}

function exchangeFindings(declared: readonly string[], found: Static<typeof Exchanges>): Finding[] {
  const ours = found.filter(({ name }) => declared.includes(name));
  const findings = ours
    .filter(({ type, durable }) => type !== 'topic' || !durable)
    .map(({ name, type, durable }) =>
      wrong(`exchange ${name}`, {
        found: `${durable ? 'durable' : 'not durable'}, of type ${type}`,
        expected: 'durable, of type topic',
        remedy:
          'stop all processes, delete it in RabbitMQ, start them: it is declared anew, with its bindings',
      }),
    );
  // Those that are missing are told by who asks over AMQP.
  return findings.length > 0 ? findings : [ok('exchanges', `${ours.length} of ours, durable, of type topic`)];
}

function argumentFindings(declared: readonly QueueDeclaration[], found: Static<typeof Queues>): Finding[] {
  const findings = declared.flatMap(({ name, arguments: expected }): Finding[] => {
    const queue = found.find((each) => each.name === name);
    if (!queue) return [];
    const actual = queue.arguments ?? {};
    const names = [...new Set([...Object.keys(expected), ...Object.keys(actual)])];
    const other = names.filter((each) => expected[each] !== actual[each]);
    if (other.length === 0) return [];
    return [
      wrong(`arguments of ${name}`, {
        found: other.map((each) => `${each} ${said(actual[each])}`).join(', '),
        expected: other.map((each) => `${each} ${said(expected[each])}`).join(', '),
        remedy:
          'no process of ours can start (406): either set what the queue has (retryMs of its step, for ' +
          'x-message-ttl), or let the queue run empty, stop all processes, delete it, and start them: ' +
          'docs/operations.md, "406"',
      }),
    ];
  });
  return findings.length > 0 ? findings : [ok('arguments', 'those of the queues are as declared')];
}

const said = (value: unknown) => (value === undefined ? 'not set' : `= ${JSON.stringify(value)}`);

const keyOf = (source: string, destination: string, key: string) =>
  JSON.stringify([source, destination, key]);

function bindingFindings(topology: TopologyOptions, found: Static<typeof Bindings>): Finding[] {
  const declared = queuesOf(topology);
  const expected = declared.flatMap(({ name, bindings }) =>
    bindings.map(({ exchange, pattern }) => ({
      name,
      exchange,
      pattern,
      key: keyOf(exchange, name, pattern),
    })),
  );
  const ours = new Set([...declared.map(({ name }) => name), ...exchangesOf(topology)]);
  // Every queue is bound to the default exchange by its name.
  const actual = found
    .filter(({ source, destination }) => source !== '' && (ours.has(source) || ours.has(destination)))
    .map((binding) => ({
      ...binding,
      key:
        Object.keys(binding.arguments ?? {}).length === 0 && binding.destination_type === 'queue'
          ? keyOf(binding.source, binding.destination, binding.routing_key)
          : '',
    }));
  const missing = expected.filter(({ key }) => !actual.some((each) => each.key === key));
  const extra = actual.filter(({ key }) => !expected.some((each) => each.key === key));
  if (missing.length + extra.length === 0)
    return [ok('bindings', `${counted(expected.length, 'binding')} as declared, and no other`)];
  return [
    ...missing.map(({ name, exchange, pattern }) =>
      wrong(`binding of ${name}`, {
        found: 'it is not there: what should go this way is returned, or waits as a dead letter',
        expected: `from ${exchange} with ${pattern}`,
        remedy: 'restart any process, e.g. "chodang start": it declares all that is missing',
      }),
    ),
    ...extra.map(({ source, destination, destination_type, routing_key, properties_key }) =>
      warn(`binding of ${destination}`, {
        found: `${destination_type} ${destination} is bound to ${source} with ${routing_key}, which we did not do`,
        expected:
          'no binding but ours: with others, messages go to two places, or to one that nobody empties',
        remedy:
          'find out who needs it; if nobody: rabbitmqadmin delete binding ' +
          `source=${source} destination_type=${destination_type} destination=${destination} ` +
          `properties_key=${properties_key ?? routing_key}`,
      }),
    ),
  ];
}
