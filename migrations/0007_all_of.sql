-- Up Migration

-- Lets a statement fail that did not find all rows as they were when they were read. So its commit can be sent right
-- behind it: it rolls back then. The code is that of a serialization failure, after which one reads again.
create function all_of(n bigint, expected bigint) returns bigint language plpgsql as $$
begin
  if n <> expected then
    raise exception 'expected % rows as they were when they were read, found %', expected, n
      using errcode = 'serialization_failure';
  end if;
  return n;
end
$$;

-- Down Migration
drop function all_of(bigint, bigint);
