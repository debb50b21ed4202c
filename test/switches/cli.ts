import { switchCommand } from '../../src/commands/switch/command.ts';
import { registry } from './opened.ts';

// `chodang switch` with the switches of these tests, and with nothing configured but them.
const settings = async () => ({ connect: undefined, root: undefined, registry });
await switchCommand(settings).parseAsync(process.argv.slice(2), { from: 'user' });
