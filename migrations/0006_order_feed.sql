-- Up Migration

-- Which of the shop's events an order stands at: the one that its status came with, and the one that all else did.
-- Null: it came from a file, and any event is newer. See src/store/orderEvents.ts.
alter table orders
  add column status_version bigint,
  add column upsert_version bigint;

-- Down Migration
alter table orders drop column status_version, drop column upsert_version;
