-- Up Migration

-- Failures of one kind (src/failures/fingerprint.ts). The counts are kept, not counted: a page of groups must not read
-- a million failures.
create table failure_groups (
  group_id       bigint generated always as identity primary key,
  fingerprint    text collate "C" not null unique,
  step           text not null,
  error_class    text not null,
  frame          text,
  message        text not null,
  state          text not null default 'open'
                 check (state in ('open', 'retrying', 'resolved', 'discarded', 'reopened')),
  failures       bigint not null default 0,
  orders         bigint not null default 0,
  notices        bigint not null default 0,
  sellers        bigint not null default 0,
  first_failed_at timestamptz not null,
  last_failed_at  timestamptz not null,
  sample_id      bigint  -- the failure that came last
);
create index failure_groups_by_time on failure_groups (last_failed_at desc, group_id desc);

-- Whom a group concerns, each once.
create table failure_group_notices (
  group_id  bigint not null references failure_groups,
  notice_id uuid not null,
  primary key (group_id, notice_id)
);
create table failure_group_sellers (
  group_id  bigint not null references failure_groups,
  seller_id text collate "C" not null,
  primary key (group_id, seller_id)
);

-- Failures recorded before there were groups have none.
alter table failures
  add column group_id     bigint references failure_groups,
  add column seller_ids   text[] not null default '{}',
  add column published_at timestamptz;  -- when the message was published that failed in the end
create index failures_of_group on failures (group_id, failure_id desc);

-- Down Migration
alter table failures drop column group_id, drop column seller_ids, drop column published_at;
drop table failure_group_sellers, failure_group_notices, failure_groups;
