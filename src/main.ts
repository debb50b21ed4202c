#!/usr/bin/env node
import { Command } from 'commander';
import { failedCommand } from './commands/failed.ts';
import { switchSettings } from './commands/settings.ts';
import { stackCommand } from './commands/stack.ts';
import { startCommand } from './commands/start.ts';
import { switchCommand } from './commands/switch.ts';

const chodang = new Command('chodang')
  .description('Tells tens of thousands of customers within a second that their order ships later, and why.')
  .addCommand(startCommand())
  .addCommand(stackCommand())
  .addCommand(switchCommand(switchSettings))
  .addCommand(failedCommand());

try {
  await chodang.parseAsync();
} catch (error) {
  const { message, stack } = error instanceof Error ? error : new Error(String(error));
  process.stderr.write(`chodang: ${process.env['CHODANG_DEBUG'] === '1' ? stack : message}\n`);
  process.exitCode = 1;
}
