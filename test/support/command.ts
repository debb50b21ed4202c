import { type Command, CommanderError } from 'commander';

/**
 * Runs a command in this process, where one of its own would take a second: with these environment variables, and
 * what it says and how it ends as answers. An error that it throws is what `chodang` would print, with code 1.
 */
export async function runCommand(
  command: Command,
  args: readonly string[],
  env: Record<string, string>,
): Promise<{ code: number; stdout: string; stderr: string; json: () => unknown }> {
  let [stdout, stderr] = ['', ''];
  const quiet = (each: Command) => {
    each.exitOverride().configureOutput({
      writeOut: (text) => {
        stdout += text;
      },
      writeErr: (text) => {
        stderr += text;
      },
    });
    each.commands.forEach(quiet);
  };
  quiet(command);
  const before = { ...process.env };
  const exitCode = process.exitCode;
  Object.assign(process.env, env);
  let code = 0;
  try {
    await command.parseAsync([...args], { from: 'user' });
    code = Number(process.exitCode ?? 0);
  } catch (error) {
    code = error instanceof CommanderError ? error.exitCode : 1;
    if (!(error instanceof CommanderError)) stderr += `chodang: ${(error as Error).message}\n`;
  } finally {
    process.exitCode = exitCode;
    for (const name of Object.keys(env)) {
      if (before[name] === undefined) delete process.env[name];
      else process.env[name] = before[name];
    }
  }
  return { code, stdout, stderr, json: () => JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as unknown };
}
