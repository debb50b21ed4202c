import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline/promises';
import { checkEdited, diffOf, editable } from '../../failures/edit.ts';
import { retryEdited } from '../../failures/retry.ts';
import { recordLook } from '../../store/failureOperations.ts';
import { findFailures, type RecordedFailure } from '../../store/failures.ts';
import type { Output } from '../output.ts';
import { whoAmI } from '../who.ts';
import { withStore } from '../withStore.ts';
import { retrySettings, tellAndFollow } from './retry.ts';

interface EditOptions {
  file?: string;
  dryRun?: boolean;
  yes?: boolean;
  wait: boolean;
  why?: string;
  by?: string;
  json?: boolean;
}

/** Changes a failed message and retries it. It shows the message unmasked, which is recorded first. */
export function edit(failureId: string, options: EditOptions, output: Output): Promise<void> {
  return withStore(async (store, config) => {
    const [failure] = await findFailures(store, [failureId]);
    if (!failure) throw new Error(`There is no failure ${failureId}: "chodang failed list" shows all.`);
    if (failure.state !== 'open')
      throw new Error(`Failure ${failureId} is ${failure.state.replace('_', ' ')}: expected an open one.`);
    const by = { who: options.by ?? whoAmI(), why: options.why };
    await recordLook(store, [failureId], { ...by, why: options.why ?? 'to edit it' });
    const text = textToSend(failure, options);
    try {
      const body = await checkEdited(store, failure, text.text);
      const diff = diffOf(failure, body);
      if (!options.json) output.say(diff === '' ? 'Nothing was changed.' : diff.trimEnd());
      if (options.dryRun || diff === '') {
        if (options.json) output.say(JSON.stringify({ failureId, dryRun: true, diff }));
        return text.drop();
      }
      if (!options.yes && !(await isWanted(failureId))) {
        output.say('Nothing was sent.');
        return text.drop();
      }
      const begun = await retryEdited(store, retrySettings(config), { by, failure, edited: text.text });
      text.drop();
      await tellAndFollow(store, begun, options, output);
    } catch (error) {
      if (text.file !== undefined) output.warn(`What you wrote is kept in ${text.file}.`);
      throw error;
    }
  });
}

/** The edited text, and the file of ours that it is in, if it is in one. */
function textToSend(
  failure: RecordedFailure,
  { file }: EditOptions,
): { text: string; file?: string; drop(): void } {
  if (file !== undefined)
    return { text: readFileSync(file === '-' ? 0 : file, 'utf8'), drop: () => undefined };
  if (!process.stdin.isTTY) throw new Error('expected --file: there is no terminal to edit on');
  const own = join(mkdtempSync(join(tmpdir(), 'chodang-edit-')), `failure-${failure.failureId}.json`);
  writeFileSync(own, editable(failure), { mode: 0o600 });
  const [editor = 'vi', ...args] = (process.env['VISUAL'] || process.env['EDITOR'] || 'vi').split(' ');
  const { status, error } = spawnSync(editor, [...args, own], { stdio: 'inherit' });
  const drop = () => rmSync(dirname(own), { recursive: true });
  if (status !== 0) {
    drop();
    throw new Error(
      `${editor} ended with ${error?.message ?? status}: nothing was sent. EDITOR names another one.`,
    );
  }
  return { text: readFileSync(own, 'utf8'), file: own, drop };
}

async function isWanted(failureId: string): Promise<boolean> {
  if (!process.stdin.isTTY) throw new Error('expected --yes: there is no terminal to ask on');
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return /^y(es)?$/i.test(
      (await terminal.question(`Send this instead of failure ${failureId}? [y/N] `)).trim(),
    );
  } finally {
    terminal.close();
  }
}
