import { mkdirSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { makeSimulator } from './server.ts';

const usage = `Simulates a TMS provider: takes notifications over HTTP, remembers them, and fails on demand.

  --port N      port to listen on; 0 (default) takes a free one
  --host HOST   address to listen on; default 127.0.0.1
  --data DIR    where it remembers what it delivered; made if missing
`;

const { port, host, data } = readFlags();
mkdirSync(data, { recursive: true });
const app = makeSimulator({ dataFolder: data });
const address = await app.listen({ port, host });
process.stdout.write(`TMS simulator ready on ${address}\n`);

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.once(signal, () => {
    app.close().then(
      () => process.exit(0),
      (error: unknown) => {
        process.stderr.write(`the TMS simulator could not close: ${String(error)}\n`);
        process.exit(1);
      },
    );
  });
}

function readFlags(): { port: number; host: string; data: string } {
  try {
    const { values } = parseArgs({
      options: {
        port: { type: 'string', default: '0' },
        host: { type: 'string', default: '127.0.0.1' },
        data: { type: 'string' },
        help: { type: 'boolean', default: false },
      },
    });
    if (values.help) {
      process.stdout.write(usage);
      process.exit(0);
    }
    const port = Number(values.port);
    if (!Number.isInteger(port) || port < 0 || port > 65_535) {
      throw new Error(`--port: expected 0 to 65535, got ${values.port}`);
    }
    if (values.data === undefined) throw new Error('--data: expected a folder, got nothing');
    return { port, host: values.host, data: values.data };
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n\n${usage}`);
    return process.exit(2);
  }
}
