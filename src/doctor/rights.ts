import { type Connection } from '../switches/connection.ts';
import { aclOf, isRefused, writtenRight } from '../switches/zookeeper.ts';
import { type Finding, ok, warn, wrong } from './check.ts';
import { reasonOf } from './words.ts';

/** Looks who may do what with these znodes: what `zookeeper.acl` says, or, where it says nothing, not everyone everything in production. */
export async function rightsFindings(
  connection: Connection,
  paths: readonly string[],
  acl: string,
  environment: string,
): Promise<Finding[]> {
  let expected: string[];
  try {
    expected = acl === '' ? [] : aclOf(acl).map(writtenRight);
  } catch (error) {
    return [
      wrong('rights', {
        found: `zookeeper.acl: ${withoutHashes(reasonOf(error))}`,
        remedy: 'correct CHODANG_ZOOKEEPER_ACL: docs/switches.md, "Who may do what"',
      }),
    ];
  }
  const found = await Promise.all(
    paths.map(async (path) => ({ path, rights: await rightsOf(connection, path) })),
  );
  // A znode that somebody deleted just now has none.
  const known = found.flatMap(({ path, rights }) => (rights ? [{ path, rights }] : []));
  const findings = known.flatMap(({ path, rights }) =>
    expected.length > 0 ? different(path, rights, expected) : open(path, rights, environment),
  );
  if (findings.length > 0) return findings;
  const first = known[0]?.rights ?? [];
  return [
    ok(
      'rights',
      expected.length > 0
        ? `as zookeeper.acl says: ${written(first)}`
        : known.some(({ rights }) => rights.some(isOpen))
          ? `everyone may do everything (zookeeper.acl is empty), which is fine for CHODANG_ENV=${environment}`
          : `not everyone may write: ${written(first)}`,
    ),
  ];
}

async function rightsOf(connection: Connection, path: string): Promise<string[] | null> {
  try {
    return await connection.rights(path);
  } catch (error) {
    if (isRefused(error)) return null;
    throw error;
  }
}

function different(path: string, rights: readonly string[], expected: readonly string[]): Finding[] {
  const same =
    rights.length === expected.length &&
    expected.every((right) => rights.some((each) => isSame(each, right)));
  if (same) return [];
  return [
    wrong(`rights of ${path}`, {
      found: written(rights),
      expected: `${written(expected)} (zookeeper.acl)`,
      remedy: `in zkCli, after "addauth digest USER:PASSWORD" of one who may administer it: setAcl ${path} "$CHODANG_ZOOKEEPER_ACL"`,
    }),
  ];
}

function open(path: string, rights: readonly string[], environment: string): Finding[] {
  if (environment !== 'production' || !rights.some(isOpen)) return [];
  return [
    warn(`rights of ${path}`, {
      found: `${written(rights)}: whoever reaches ZooKeeper may flip switches, or delete them`,
      expected: 'a user who may write, others who may read',
      remedy: `set CHODANG_ZOOKEEPER_ACL and CHODANG_ZOOKEEPER_AUTH (docs/switches.md, "Who may do what"), then in zkCli: setAcl ${path} "$CHODANG_ZOOKEEPER_ACL"`,
    }),
  ];
}

const isOpen = (right: string) => /^world:anyone:.*[cdwa]/.test(right);

/**
 * Whether two rights are the same, as far as we may see: a server shows `x` for a hash to who may not administer the
 * znode, and `auth` becomes whoever made it.
 */
function isSame(actual: string, expected: string): boolean {
  if (actual === expected) return true;
  const [is, be] = [parted(actual), parted(expected)];
  if (is.scheme !== 'digest' || is.permissions !== be.permissions) return false;
  return be.scheme === 'auth' || (is.hash === 'x' && be.scheme === 'digest' && is.user === be.user);
}

function parted(right: string) {
  const [, scheme = '', user = '', hash = '', permissions = ''] =
    /^(\w+):([^:]*)(?::([^:]*))?:(\w+)$/.exec(right) ?? [];
  return { scheme, user, hash, permissions };
}

const withoutHashes = (text: string) => text.replaceAll(/\b(digest:[^:\s,]+):[^:\s,]+/g, '$1:…');
const written = (rights: readonly string[]) => withoutHashes(rights.join(', ')) || 'none';
