import assert from 'node:assert/strict';
import { appendFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { type Entry, JournalFile, type Place } from '../../src/tms/simulator/journalFile.ts';
import { notifications } from './makers.ts';
import { temporaryFolder } from './startSimulator.ts';

describe("the simulator's file", () => {
  const folder = temporaryFolder();
  after(() => folder.remove());

  /** Opens the file, and returns what it read. */
  function read(path: string): Entry[] {
    const entries: Entry[] = [];
    new JournalFile(path, (entry) => entries.push(entry)).close();
    return entries;
  }

  it('gives a call again, where it was written and where it was found', () => {
    const path = join(folder.path, 'again.ndjson');
    const file = new JournalFile(path, () => assert.fail('the file is new'));
    const calls = [700, 3, 40_000].map((count) => ({ notifications: notifications(count) }));
    const written = calls.map((call, at) =>
      file.append(at, 'd', Buffer.from(JSON.stringify(call, null, at))),
    );
    const again = (from: JournalFile, places: readonly Place[]) =>
      places.map((place) => from.read(place).call);
    assert.deepEqual(again(file, written), calls);
    file.close();

    const found: Place[] = [];
    const reopened = new JournalFile(path, (_, place) => found.push(place));
    assert.deepEqual(found, written);
    const more = { notifications: notifications(2) };
    found.push(reopened.append(3, 'd', Buffer.from(JSON.stringify(more))));
    assert.deepEqual(again(reopened, found), [...calls, more]);
    reopened.close();
  });

  it('is read back in pieces, whatever lies across their borders, and loses only a half line at the end', () => {
    const path = join(folder.path, 'long.ndjson');
    const file = new JournalFile(path, () => assert.fail('the file is new'));
    const calls = [1, 700, 40_000, 2, 40_000].map((count) => ({ notifications: notifications(count) }));
    for (const [at, call] of calls.entries()) file.append(at, 'd', Buffer.from(JSON.stringify(call)));
    file.close();
    const { size } = statSync(path);
    assert.ok(size > 9 * 1024 * 1024, `${size} bytes are more than two pieces, and one entry more than one`);
    appendFileSync(path, '{"at":5,"took":"d","call":{"notif');

    const entries = read(path);
    assert.deepEqual(
      entries.map(({ at }) => at),
      [0, 1, 2, 3, 4],
    );
    assert.deepEqual(
      entries.map(({ call }) => call),
      calls,
    );
    assert.equal(statSync(path).size, size);
  });
});
