-- Up Migration

-- What every process sees of a switch, once: see src/store/switchHistory.ts. The time is that of the write: a ZooKeeper
-- that lost its data counts its transactions from the beginning again.
create unique index audit_switch_versions on audit (subject, at, (detail ->> 'mzxid')) where action = 'switch';

-- Down Migration
drop index audit_switch_versions;
