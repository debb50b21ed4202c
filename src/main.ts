#!/usr/bin/env -S node --min-semi-space-size=32 --max-semi-space-size=32 --max-old-space-size=640
import { Command } from 'commander';

/** What makes each command. Only the one that is called is loaded: all of them together take most of a second. */
const commands: Record<string, () => Promise<Command>> = {
  demo: async () => (await import('./commands/demo.ts')).demoCommand(),
  start: async () => (await import('./commands/start.ts')).startCommand(),
  stack: async () => (await import('./commands/stack.ts')).stackCommand(),
  doctor: async () => (await import('./commands/doctor.ts')).doctorCommand(),
  migrate: async () => (await import('./commands/migrate.ts')).migrateCommand(),
  orders: async () => (await import('./commands/orders.ts')).ordersCommand(),
  seller: async () => (await import('./commands/seller.ts')).sellerCommand(),
  notice: async () => (await import('./commands/notice.ts')).noticeCommand(),
  switch: async () => {
    const [{ switchCommand }, { switchSettings }] = await Promise.all([
      import('./commands/switch/command.ts'),
      import('./commands/settings.ts'),
    ]);
    return switchCommand(switchSettings);
  },
  failed: async () => (await import('./commands/failed/command.ts')).failedCommand(),
  pipeline: async () => (await import('./commands/pipeline/command.ts')).pipelineCommand(),
  operator: async () => (await import('./commands/operator.ts')).operatorCommand(),
};

try {
  const called = Object.entries(commands).filter(([name]) => name === process.argv[2]);
  const chodang = new Command('chodang').description(
    'Tells tens of thousands of customers within a second that their order ships later, and why.',
  );
  // Help and typing errors concern all of them.
  for (const [, make] of called.length > 0 ? called : Object.entries(commands))
    chodang.addCommand(await make());
  await chodang.parseAsync();
} catch (error) {
  const { message, stack } = error instanceof Error ? error : new Error(String(error));
  process.stderr.write(`chodang: ${process.env['CHODANG_DEBUG'] === '1' ? stack : message}\n`);
  process.exitCode = 1;
}
