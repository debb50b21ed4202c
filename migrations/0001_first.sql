-- Up Migration

-- Ids sort by byte everywhere: locks are taken in one order, and comparing is cheap.

create table sellers (
  seller_id  text collate "C" primary key,
  created_at timestamptz not null default now()
);

-- A key is shown once, when it is made; only its SHA-256 stays.
create table api_keys (
  key_hash   bytea primary key,
  seller_id  text collate "C" not null references sellers,
  created_at timestamptz not null default now(),
  revoked_at timestamptz
);

-- What changes has no index, and pages keep room, so that updates stay HOT.
create table orders (
  seller_id          text collate "C" not null,
  order_id           text collate "C" not null,
  status             text not null check (status in ('open', 'canceled', 'shipped', 'delivered', 'claim')),
  promised_ship_date date not null,
  expected_ship_date date not null,
  delay_count        smallint not null default 0,
  last_notice_id     uuid,
  customer_name      text not null default '',
  phone              text not null default '',
  locale             text not null default 'ko',
  product            text not null default '',
  primary key (seller_id, order_id)
) with (fillfactor = 40, autovacuum_vacuum_scale_factor = 0.05);

-- notice_id is a UUID version 7: it sorts by time, and the greater of two is the newer notice.
create table notices (
  notice_id       uuid primary key,
  seller_id       text collate "C" not null references sellers,
  path            text not null,
  lane            text not null,
  switch_version  integer,
  reason          text not null,
  detail          text,
  new_ship_date   date not null,
  orders          integer not null,
  duplicates      integer not null,
  idempotency_key text,
  body_hash       bytea,
  accepted_at     timestamptz not null default now(),
  unique (seller_id, idempotency_key)
);
create index notices_of_seller on notices (seller_id, notice_id);

-- The outbox: done_at is set once RabbitMQ has confirmed the chunk, or the legacy run has settled it.
create table intake (
  notice_id  uuid not null references notices,
  chunk_no   integer not null,
  path       text not null,
  lane       text not null,
  chunk      text not null,
  attempts   smallint not null default 0,
  created_at timestamptz not null default now(),
  done_at    timestamptz,
  primary key (notice_id, chunk_no)
);
create index intake_waiting on intake (path, created_at) where done_at is null;

create type ledger_state as enum ('rejected', 'delayed', 'notified', 'undeliverable', 'unconfirmed', 'failed');

-- What became of each order of each notice; also the order's delay history.
create table ledger (
  notice_id     uuid not null,
  order_id      text collate "C" not null,
  seller_id     text collate "C" not null,
  state         ledger_state not null,
  reject_reason text,
  old_ship_date date,
  new_ship_date date not null,
  reason        text,          -- reason and detail only where the order has its own
  detail        text,
  gateway_id    text,
  note          text,          -- why undeliverable or unconfirmed, as the gateway said it
  failed_from   ledger_state,  -- set while failed: the state before it, null if there was no row
  created_at    timestamptz not null default now(),
  sending_at    timestamptz,   -- when a send whose outcome may be unknown began
  settled_at    timestamptz,
  primary key (notice_id, order_id)
) with (fillfactor = 35, autovacuum_vacuum_scale_factor = 0.05);

create table failures (
  failure_id    bigint generated always as identity primary key,
  step          text not null,
  message_id    text not null,
  lane          text not null,
  error_class   text not null,
  error_message text not null,
  error_stack   text,
  attempt       integer not null,
  failed_at     timestamptz not null,
  recorded_at   timestamptz not null default now(),
  headers       jsonb not null,
  body          bytea not null,  -- byte for byte as it came, JSON or not
  notice_ids    uuid[] not null,
  orders        integer not null,
  unique (step, message_id)
);

create table audit (
  audit_id bigint generated always as identity primary key,
  at       timestamptz not null default now(),
  who      text,
  action   text not null,
  subject  text not null,
  detail   jsonb not null default '{}'
);

-- Down Migration
drop table audit, failures, ledger, intake, notices, orders, api_keys, sellers;
drop type ledger_state;
