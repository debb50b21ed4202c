-- Up Migration

-- Null while the file of an import is still coming in. Whoever knows nothing of imports writes notices that are
-- there as a whole, so the default says now; for the rows that there are, too, and without rewriting them.
alter table notices add column received_at timestamptz default now();

-- How far an import is: all rows of its file up to here are safe. Written in the transaction of their chunks.
create table imports (
  notice_id     uuid primary key,
  header        text not null,      -- JSON, the same in each of its chunks
  rows          integer not null,   -- each is an order, a repeat (notices.duplicates) or rejected
  chunks        integer not null,
  rejected_rows integer not null,
  hash          bytea not null      -- SHA-256 of those rows as they came: a file that is sent again must begin alike
);

-- Rows that can't be used; the first 100,000 of an import, the others are only counted.
create table import_rejects (
  notice_id uuid not null,
  line      integer not null,
  order_id  text,
  expected  text not null,
  got       text not null,
  primary key (notice_id, line)
);

-- Down Migration
drop table import_rejects, imports;
alter table notices drop column received_at;
