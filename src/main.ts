#!/usr/bin/env -S node --min-semi-space-size=32 --max-semi-space-size=32 --max-old-space-size=640
import { Command } from 'commander';
import { demoCommand } from './commands/demo.ts';
import { doctorCommand } from './commands/doctor.ts';
import { failedCommand } from './commands/failed/command.ts';
import { migrateCommand } from './commands/migrate.ts';
import { noticeCommand } from './commands/notice.ts';
import { operatorCommand } from './commands/operator.ts';
import { ordersCommand } from './commands/orders.ts';
import { pipelineCommand } from './commands/pipeline/command.ts';
import { sellerCommand } from './commands/seller.ts';
import { switchSettings } from './commands/settings.ts';
import { stackCommand } from './commands/stack.ts';
import { startCommand } from './commands/start.ts';
import { switchCommand } from './commands/switch/command.ts';

const chodang = new Command('chodang')
  .description('Tells tens of thousands of customers within a second that their order ships later, and why.')
  .addCommand(demoCommand())
  .addCommand(startCommand())
  .addCommand(stackCommand())
  .addCommand(doctorCommand())
  .addCommand(migrateCommand())
  .addCommand(ordersCommand())
  .addCommand(sellerCommand())
  .addCommand(noticeCommand())
  .addCommand(switchCommand(switchSettings))
  .addCommand(failedCommand())
  .addCommand(pipelineCommand())
  .addCommand(operatorCommand());

try {
  await chodang.parseAsync();
} catch (error) {
  const { message, stack } = error instanceof Error ? error : new Error(String(error));
  process.stderr.write(`chodang: ${process.env['CHODANG_DEBUG'] === '1' ? stack : message}\n`);
  process.exitCode = 1;
}
