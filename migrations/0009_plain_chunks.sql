-- Up Migration

-- A chunk is read back only after a crash, and by the legacy run: compressing it took longer than all else that its insert
-- does.
alter table intake alter column chunk set storage external;

-- Down Migration
alter table intake alter column chunk set storage extended;
