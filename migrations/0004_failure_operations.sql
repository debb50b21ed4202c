-- Up Migration

-- What became of a failure. `failed_again`: its retry failed, as another failure that has its place now.
alter table failures
  add column state        text not null default 'open'
                          check (state in ('open', 'retrying', 'resolved', 'failed_again', 'discarded')),
  add column state_at     timestamptz not null default now(),  -- since when it has that state
  add column operation_id bigint,  -- what has it in hand, or had it last
  add column retry_of     bigint,  -- the failure whose retry failed with this one
  add column type         text;    -- the message's own type; null if it had none, or from before it was kept
-- One for each way to page through failures: what all of them have in common, then the id, all in one direction. Those
-- of a group in a state are five, of which a failure is in one: where a page ends, an index over all states goes on.
drop index failures_of_group;
create index failures_of_group on failures (group_id, failure_id);
create index failures_by_state on failures (state, failure_id);
create index failures_open_of_group on failures (group_id, failure_id) where state = 'open';
create index failures_retrying_of_group on failures (group_id, failure_id) where state = 'retrying';
create index failures_resolved_of_group on failures (group_id, failure_id) where state = 'resolved';
create index failures_failed_again_of_group on failures (group_id, failure_id) where state = 'failed_again';
create index failures_discarded_of_group on failures (group_id, failure_id) where state = 'discarded';
create index failures_of_retry on failures (retry_of) where retry_of is not null;
create index failures_closed on failures (state_at) where state in ('resolved', 'failed_again', 'discarded');

-- How many of a group's failures are in each state; `failures`, `orders` and so on count all there ever were.
alter table failure_groups
  add column open         bigint not null default 0,
  add column retrying     bigint not null default 0,
  add column resolved     bigint not null default 0,
  add column failed_again bigint not null default 0,
  add column discarded    bigint not null default 0,
  add column came_back    boolean not null default false,  -- failed again after a retry, or after it was closed
  add column closed_at    timestamptz;
update failure_groups set open = failures;

-- What people do with failures: who, when, why, and how. Kept for good: with its items, it is the history.
create table failure_operations (
  operation_id bigint generated always as identity primary key,
  kind         text not null check (kind in ('retry', 'discard', 'undo', 'look')),
  state        text not null check (state in ('running', 'done', 'stopped', 'canceled')),
  who          text not null,
  why          text,
  detail       jsonb not null default '{}',  -- how: canary, ratePerSecond, stopAfter, path, the group and up to where
  begun_at     timestamptz not null default now(),
  ended_at     timestamptz,
  ended_by     text,  -- who canceled it; null if it ended by itself
  ended_why    text
);
create index failure_operations_running on failure_operations (operation_id) where state = 'running';

-- To which failures. Of a retry: waits to be sent; sent (its orders are given back, then it is published); how it ended.
create table failure_operation_items (
  operation_id bigint not null references failure_operations,
  failure_id   bigint not null,
  state        text not null check (state in ('waiting', 'sent', 'resolved', 'failed_again', 'canceled', 'done')),
  body         bytea,        -- the message as it was edited; null if it goes as it came
  sent_at      timestamptz,
  published_at timestamptz,  -- when RabbitMQ had confirmed it
  primary key (operation_id, failure_id)
);
create index failure_operation_items_in_hand on failure_operation_items (operation_id, state, failure_id)
  where state in ('waiting', 'sent');
create index failure_operation_items_of_failure on failure_operation_items (failure_id);

-- When a retry took an order up again that was surely never sent: how old its notification is counts from there.
alter table ledger add column retried_at timestamptz;

-- A chunk that somebody handed to the legacy run: which retry brought it.
alter table intake add column retry text;

-- Who may look at failures (`reader`) and do something about them (`operator`). Of a key only its SHA-256 stays.
create table operators (
  key_hash   bytea primary key,
  name       text not null,
  role       text not null check (role in ('reader', 'operator')),
  created_at timestamptz not null default now(),
  revoked_at timestamptz
);

-- What developers are to be told, an outbox: written in the transaction of what it tells of, sent in bundles.
create table alerts (
  alert_id  bigint generated always as identity primary key,
  at        timestamptz not null default now(),
  kind      text not null,
  subject   text not null,  -- what it is about: `group 12`, `queue tms.failed`, `step tms`
  detail    jsonb not null default '{}',
  bundle_id uuid            -- null: nobody was told yet
);
create index alerts_untold on alerts (alert_id) where bundle_id is null;
create index alerts_of_subject on alerts (kind, subject, at desc);
create index alerts_of_bundle on alerts (bundle_id);

-- One bundle of alerts on its way to one channel.
create table alert_deliveries (
  bundle_id    uuid not null,
  channel      text not null,
  body         text not null,
  created_at   timestamptz not null default now(),
  attempts     integer not null default 0,
  next_at      timestamptz not null default now(),
  delivered_at timestamptz,
  gave_up_at   timestamptz,
  error        text,
  primary key (bundle_id, channel)
);
create index alert_deliveries_undelivered on alert_deliveries (channel) where delivered_at is null;
create index alert_deliveries_waiting on alert_deliveries (next_at) where delivered_at is null and gave_up_at is null;

-- Down Migration
drop table alert_deliveries, alerts, operators, failure_operation_items, failure_operations;
alter table intake drop column retry;
alter table ledger drop column retried_at;
alter table failure_groups
  drop column open, drop column retrying, drop column resolved, drop column failed_again, drop column discarded,
  drop column came_back, drop column closed_at;
alter table failures
  drop column state, drop column state_at, drop column operation_id, drop column retry_of, drop column type;
drop index failures_of_group;
create index failures_of_group on failures (group_id, failure_id desc);
