import { createHash, randomBytes } from 'node:crypto';
import { type Sql, type Store, transaction } from './store.ts';

/** What somebody may do: `reader` sees failures, masked; `operator` also does something about them, and may see all. */
export const operatorRoles = ['reader', 'operator'] as const;
export type OperatorRole = (typeof operatorRoles)[number];

/** Somebody who looks after failures over HTTP. */
export interface Operator {
  name: string;
  role: OperatorRole;
}

const hashOf = (key: string) => createHash('sha256').update(key).digest();

/**
 * Makes a new key for an operator, and returns it: the only time it can be seen, since only its SHA-256 is kept.
 * Earlier keys of that name stay good, with the role they have. Who did it is kept in `audit`.
 */
export function addOperator(store: Store, { name, role }: Operator, who: string): Promise<string> {
  const key = `chd_op_${randomBytes(32).toString('base64url')}`;
  return transaction(store, async (tx) => {
    await tx.query('insert into operators (key_hash, name, role) values ($1, $2, $3)', [
      hashOf(key),
      name,
      role,
    ]);
    await tx.query(
      `insert into audit (who, action, subject, detail) values ($1, 'operator added', $2, jsonb_build_object('role', $3::text))`,
      [who, name, role],
    );
    return key;
  });
}

/** Revokes all keys of an operator; returns how many there were. Who did it is kept in `audit`. */
export function revokeOperator(store: Store, name: string, who: string): Promise<number> {
  return transaction(store, async (tx) => {
    const revoked = await tx.query(
      'update operators set revoked_at = now() where name = $1 and revoked_at is null returning 1',
      [name],
    );
    if (revoked.length > 0)
      await tx.query(`insert into audit (who, action, subject) values ($1, 'operator revoked', $2)`, [
        who,
        name,
      ]);
    return revoked.length;
  });
}

/** Tells whose key this is; undefined if it is nobody's, or was revoked. */
export async function operatorOf(db: Sql, key: string): Promise<Operator | undefined> {
  const [operator] = await db.query<Operator>(
    'select name, role from operators where key_hash = $1 and revoked_at is null',
    [hashOf(key)],
  );
  return operator;
}

/** Lists the keys there are, by name: a key itself nobody can see. */
export function listOperators(db: Sql): Promise<(Operator & { createdAt: Date; revokedAt: Date | null })[]> {
  return db.query(
    `select name, role, created_at as "createdAt", revoked_at as "revokedAt" from operators order by name, created_at`,
  );
}
