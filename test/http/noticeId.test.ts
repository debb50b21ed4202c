import assert from 'node:assert/strict';
import { newNoticeId } from '../../src/http/noticeId.ts';

describe('Ids of notices', () => {
  const now = Date.now;
  afterEach(() => {
    Date.now = now;
  });

  it('are UUIDs of version 7, each greater than the one before, also within a millisecond', () => {
    const ids = Array.from({ length: 10_000 }, newNoticeId);
    assert.match(ids[0] ?? '', /^[\da-f]{8}-[\da-f]{4}-7[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/);
    assert.deepEqual(ids.toSorted(), ids);
    assert.equal(new Set(ids).size, ids.length);
  });

  it('go on from where they were if the clock is set back, by a minute or a year: the later notice counts', () => {
    const ids = [0, 60_000, 365 * 86_400_000, 0].map((back) => {
      Date.now = () => now() - back;
      return newNoticeId();
    });
    assert.deepEqual(ids.toSorted(), ids);
  });
});
