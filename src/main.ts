#!/usr/bin/env node
import { Command } from 'commander';
import { stackCommand } from './commands/stack.ts';

const chodang = new Command('chodang')
  .description('Tells tens of thousands of customers within a second that their order ships later, and why.')
  .addCommand(stackCommand());

try {
  await chodang.parseAsync();
} catch (error) {
  const { message, stack } = error instanceof Error ? error : new Error(String(error));
  process.stderr.write(`chodang: ${process.env['CHODANG_DEBUG'] === '1' ? stack : message}\n`);
  process.exitCode = 1;
}
