import type { Static } from 'typebox';
import { asked } from './asked.ts';
import { type Finding, ok, warn, wrong } from './check.ts';
import { Connections, FeatureFlags, type Management, Nodes } from './management.ts';
import { ahead, counted } from './words.ts';

/** Looks at RabbitMQ's nodes: alarms, feature flags, blocked connections, the clock. */
export async function nodeFindings(management: Management): Promise<Finding[]> {
  const findings = await Promise.all([
    asked(management, 'feature flags', async () =>
      flagFindings(await management.ask('feature-flags', FeatureFlags)),
    ),
    asked(management, 'alarms', async () =>
      alarmFindings(await management.ask('nodes?columns=name,running,mem_alarm,disk_free_alarm', Nodes)),
    ),
    asked(management, 'connections', async () =>
      connectionFindings(
        await management.ask(
          `vhosts/${management.vhost}/connections?columns=state,vhost,user_provided_name`,
          Connections,
        ),
      ),
    ),
    asked(management, 'clock', async () => [clock(await management.skewMs())]),
  ]);
  return findings.flat();
}

const neededFlags = {
  quorum_queue: 'all our queues are quorum queues',
  stream_queue: 'RabbitMQ 3.10 needs it for dead letters that are not lost (at-least-once)',
};

/** Judges the feature flags; one that isn't listed is always on, as it is on 4.x. */
export function flagFindings(flags: Static<typeof FeatureFlags>): Finding[] {
  const findings = flags
    .filter(({ name, state }) => Object.hasOwn(neededFlags, name) && state !== 'enabled')
    .map(({ name, state }) =>
      wrong('feature flags', {
        found: `${name} is ${state}`,
        expected: `enabled: ${neededFlags[name as keyof typeof neededFlags]}`,
        remedy: `rabbitmqctl enable_feature_flag ${name}`,
      }),
    );
  return findings.length > 0
    ? findings
    : [ok('feature flags', `${Object.keys(neededFlags).join(' and ')} are enabled`)];
}

/** Judges the alarms of all nodes. */
export function alarmFindings(nodes: Static<typeof Nodes>): Finding[] {
  const findings = nodes.flatMap(({ name, running, mem_alarm, disk_free_alarm }): Finding[] => {
    const alarms = [
      ...(mem_alarm ? [['memory', 'free memory, or raise vm_memory_high_watermark'] as const] : []),
      ...(disk_free_alarm ? [['disk', 'free disk space, or lower disk_free_limit'] as const] : []),
    ];
    return [
      ...(running === false
        ? [
            warn('alarms', {
              found: `node ${name} is down`,
              expected: 'it runs',
              remedy: `start it; look at its log first. A majority of the nodes must run`,
            }),
          ]
        : []),
      ...alarms.map(([what, remedy]) =>
        wrong('alarms', {
          found: `node ${name} has a ${what} alarm: nobody can publish, notices on path actors get 503`,
          expected: 'no alarm',
          remedy: `${remedy}; everything goes on by itself then`,
        }),
      ),
    ];
  });
  return findings.length > 0 ? findings : [ok('alarms', `none on ${counted(nodes.length, 'node')}`)];
}

/** Judges the connections of our virtual host, and tells how many processes of ours there are. */
export function connectionFindings(connections: Static<typeof Connections>): Finding[] {
  const blocked = connections.filter(({ state }) => state === 'blocked');
  const processes = connections.filter(({ user_provided_name }) =>
    /^chodang \d+ consume$/.test(user_provided_name ?? ''),
  );
  if (blocked.length > 0)
    return [
      wrong('connections', {
        found: `${blocked.length} of ${counted(connections.length, 'connection')} are blocked: RabbitMQ takes no message from them`,
        expected: 'none is blocked',
        remedy: 'see the alarms; they are unblocked by themselves once there is room',
      }),
    ];
  return [
    ok(
      'connections',
      `none is blocked; ${counted(processes.length, 'process', 'processes')} of ours consume${processes.length === 1 ? 's' : ''}`,
    ),
  ];
}

/** Judges how far RabbitMQ's clock is ahead, in ms, give or take half a second. Nothing of ours relies on it, so it is never wrong. */
export function clock(skewMs: number): Finding {
  if (Math.abs(skewMs) <= 1_500)
    return ok('clock', 'RabbitMQ is within a second of the clock of this machine');
  return warn('clock', {
    found: `RabbitMQ is about ${ahead(skewMs)}`,
    expected: 'at most 1 s apart',
    remedy: 'see which of the two is right, and why it is not kept so: "timedatectl" on both machines',
  });
}
