import type { Command } from 'commander';

/** Where a command's lines go: what it was asked for, and what went wrong beside it. */
export interface Output {
  say: (line: string) => void;
  warn: (line: string) => void;
}

/** Standard output and standard error, or wherever the command was told to write. */
export function outputOf(self: Command): Output {
  const to = self.configureOutput();
  return { say: (line) => to.writeOut?.(`${line}\n`), warn: (line) => to.writeErr?.(`${line}\n`) };
}
