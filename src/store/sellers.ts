import { createHash, randomBytes } from 'node:crypto';
import type { Sql } from './store.ts';

const hashOf = (apiKey: string) => createHash('sha256').update(apiKey).digest();

/** Makes sure that these sellers exist; those that do are left alone. */
export async function addSellers(db: Sql, sellerIds: readonly string[]): Promise<void> {
  await db.query(
    `insert into sellers (seller_id)
     select distinct s from unnest($1::text[]) s order by s on conflict do nothing`,
    [sellerIds],
  );
}

/**
 * Makes a new API key for a seller, and returns it: the only time it can be seen, since only its SHA-256 is kept.
 *
 * The seller is added if he isn't there. Earlier keys stay good.
 */
export async function addApiKey(db: Sql, sellerId: string): Promise<string> {
  const apiKey = `chd_${randomBytes(32).toString('base64url')}`;
  await addSellers(db, [sellerId]);
  await db.query('insert into api_keys (key_hash, seller_id) values ($1, $2)', [hashOf(apiKey), sellerId]);
  return apiKey;
}

/** Tells whose keys these are, in their order; undefined for one that is nobody's, or was revoked. */
export async function sellersOf(db: Sql, apiKeys: readonly string[]): Promise<(string | undefined)[]> {
  const hashes = apiKeys.map(hashOf);
  const rows = await db.query<{ hash: Buffer; sellerId: string }>(
    `select key_hash as hash, seller_id as "sellerId" from api_keys where key_hash = any($1) and revoked_at is null`,
    [hashes],
  );
  const sellers = new Map(rows.map(({ hash, sellerId }) => [hash.toString('hex'), sellerId]));
  return hashes.map((hash) => sellers.get(hash.toString('hex')));
}

/** Tells whose key this is; undefined if it is nobody's, or was revoked. */
export async function sellerOf(db: Sql, apiKey: string): Promise<string | undefined> {
  return (await sellersOf(db, [apiKey]))[0];
}
