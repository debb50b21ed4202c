// Uses the switches through OpenFeature, as any other provider.
//
//   CHODANG_ZOOKEEPER=127.0.0.1:2181 npx tsx examples/openfeature.ts
import { OpenFeature, ProviderEvents } from '@openfeature/server-sdk';
import { pino } from 'pino';
import { SwitchProvider } from '../src/switches/openfeature.ts';
import { writeSwitch } from '../src/switches/write.ts';

const place = {
  connect: process.env['CHODANG_ZOOKEEPER'] ?? '127.0.0.1:2181',
  root: process.env['CHODANG_ZOOKEEPER_ROOT'] ?? '/example',
  registry: {
    'new-checkout': { variants: ['off', 'on'], by: 'customerId', fallback: 'off' },
    'batch-size': {
      variants: ['small', 'large'],
      values: { small: 500, large: 2_000 },
      by: 'customerId',
      fallback: 'small',
    },
  },
};
const log = pino({ level: 'warn' });
const print = (line: string) => process.stdout.write(`${line}\n`);

await OpenFeature.setProviderAndWait(new SwitchProvider({ ...place, log }));
const client = OpenFeature.getClient();

print(`new-checkout: ${await client.getBooleanValue('new-checkout', false, { targetingKey: 'c-1' })}`);

const changed = new Promise<readonly string[]>((resolve) => {
  client.addHandler(ProviderEvents.ConfigurationChanged, (details) => resolve(details?.flagsChanged ?? []));
});
await writeSwitch(place, 'batch-size', '100%');
print(`changed: ${(await changed).join()}`);

const { value, variant, reason } = await client.getNumberDetails('batch-size', 100, { targetingKey: 'c-1' });
print(`batch-size: ${value} (${variant}, ${reason})`);

const wrong = await client.getStringDetails('batch-size', 'none', { targetingKey: 'c-1' });
print(`as a text: ${wrong.value} (${wrong.errorCode})`);

await OpenFeature.close();

// Prints:
// new-checkout: false
// changed: batch-size
// batch-size: 2000 (large, STATIC)
// as a text: none (TYPE_MISMATCH)
