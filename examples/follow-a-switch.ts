// Follows a switch: each process that does this sees a flip at once, whoever flips it, and however.
//
//   CHODANG_ZOOKEEPER=127.0.0.1:2181 npx tsx examples/follow-a-switch.ts
import { EventEmitter, once } from 'node:events';
import { pino } from 'pino';
import { openSwitches } from '../src/switches/open.ts';
import { writeSwitch } from '../src/switches/write.ts';

const place = {
  connect: process.env['CHODANG_ZOOKEEPER'] ?? '127.0.0.1:2181',
  root: process.env['CHODANG_ZOOKEEPER_ROOT'] ?? '/example',
  registry: { checkout: { variants: ['old', 'new'], by: 'customerId', fallback: 'old' } },
};
const log = pino({ level: 'warn' });
const print = (line: string) => process.stdout.write(`${line}\n`);

const switches = await openSwitches({ ...place, log });
const flips = new EventEmitter();
switches.subscribe((change) => flips.emit(change.kind));

const { variant, reason } = switches.evaluate('checkout', { customerId: 'c-1' });
print(`${variant}: ${reason}`); // nothing is written yet

for (const value of ['on', '25%', 'off']) {
  const seen = once(flips, 'value');
  await writeSwitch(place, 'checkout', value); // the same as: zkCli.sh set /example/switches/checkout 25%
  await seen;
  const customers = Array.from({ length: 1_000 }, (_, at) => ({ customerId: `c-${at}` }));
  const onNew = customers.filter((customer) => switches.evaluate('checkout', customer).variant === 'new');
  print(`${value}: ${onNew.length} of 1,000 customers get the new checkout`);
}
await switches.close();

// Prints:
// old: DEFAULT
// on: 1000 of 1,000 customers get the new checkout
// 25%: 264 of 1,000 customers get the new checkout
// off: 0 of 1,000 customers get the new checkout
