-- Up Migration

-- What every process sees of a switch, once: see src/store/switchHistory.ts.
create unique index audit_switch_versions on audit (subject, (detail ->> 'mzxid')) where action = 'switch';

-- Down Migration
drop index audit_switch_versions;
