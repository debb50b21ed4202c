import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { freshZookeeperRoot } from './support/servers.ts';

const folder = fileURLToPath(new URL('../examples', import.meta.url));

describe('the examples', () => {
  const files = readdirSync(folder).filter((file) => file.endsWith('.ts'));

  it('are there', () => {
    assert.ok(files.length > 0);
  });

  for (const file of files)
    it(`${file} prints what it says it prints`, async () => {
      const { connect, root } = await freshZookeeperRoot();
      const env = { ...process.env, CHODANG_ZOOKEEPER: connect, CHODANG_ZOOKEEPER_ROOT: root };
      const path = join(folder, file);
      const { stdout, stderr } = await promisify(execFile)(process.execPath, ['--import', 'tsx', path], {
        env,
      });
      const [, promised = ''] = readFileSync(path, 'utf8').split('// Prints:\n');
      assert.notEqual(promised, '');
      assert.deepEqual([stdout, stderr], [promised.replaceAll(/^\/\/ /gmu, ''), '']);
    });
});
