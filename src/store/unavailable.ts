import { InfrastructureError } from '../pipeline/errors.ts';

/** SQLSTATE classes and codes that say Postgres can't serve anybody right now, whatever was asked. */
const awayClasses = new Set(['08', '53', '58']); // connection lost; out of connections, memory or disk; I/O errors
const awayCodes = new Set([
  '57P01', // an administrator shuts it down
  '57P02', // it crashed
  '57P03', // it is starting up
  '57P04', // the database was dropped
  '57P05', // the session was idle too long
  '25P03', // the transaction was
  '25P04', // the transaction took too long
  '57014', // a statement took longer than it may
  '55P03', // a lock was not to be had in time
  '25006', // read-only: this server is no longer the primary one
]);
/** Codes that waiting alone won't cure: wrong password, no such role, no such database. */
const refusedCodes = new Set(['28P01', '28000', '3D000', '42501']);

/**
 * What Node says of a connection, a name, a certificate or a file handle: whatever it is, no statement is to
 * blame. Its codes that begin with ERR_ are mistakes in a program, but for TLS.
 */
const isNodeCode = (code: string): boolean =>
  code === 'EPIPE' || (code !== '' && !/^[0-9A-Z]{5}$/.test(code) && !/^ERR_(?!TLS|SSL)/.test(code));

/** What pg and its pool say without any code. */
const messages =
  /^(Connection terminated|The server does not support SSL|timeout exceeded when trying to connect|timeout expired|Query read timeout|Client has encountered a connection error|Client was closed|Cannot use a pool after calling end)/;

/** Two transactions got in each other's way; either may simply run again. */
const collisions = new Set(['40P01', '40001']);

const codeOf = (error: unknown): string => {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' ? code : '';
};

/**
 * Says that what a transaction read was outdated by the time it wrote.
 *
 * Thrown inside a transaction, it rolls it back and runs it again, as a deadlock does.
 */
export class StaleRead extends Error {
  override name = 'StaleRead';
}

/** Tells whether a transaction only lost to another one (deadlock, serialization) and may run again at once. */
export const isCollision = (error: unknown): boolean =>
  error instanceof StaleRead || collisions.has(codeOf(error));

/** Tells whether an insert met a row of the same key. */
export const isDuplicate = (error: unknown): boolean => codeOf(error) === '23505';

/**
 * Turns what pg threw into an `InfrastructureError` if Postgres itself is to blame, or gives it back as it is.
 *
 * A refused login opens the circuit at once: no waiting will help.
 */
export function blame(error: unknown): Error {
  if (error instanceof InfrastructureError) return error;
  const code = codeOf(error);
  const message = error instanceof Error ? error.message : String(error);
  const away =
    refusedCodes.has(code) ||
    awayCodes.has(code) ||
    awayClasses.has(/^[0-9A-Z]{5}$/.test(code) ? code.slice(0, 2) : '') ||
    isNodeCode(code) ||
    isCollision(error) ||
    messages.test(message);
  return away ? unavailable(error) : error instanceof Error ? error : new Error(message);
}

/**
 * Turns whatever kept us from connecting into an `InfrastructureError`: TLS, files, ports or names, no message
 * is to blame for a connection.
 */
export function unavailable(error: unknown): InfrastructureError {
  if (error instanceof InfrastructureError) return error;
  const code = codeOf(error);
  const message = error instanceof Error ? error.message : String(error);
  // Refused on both ::1 and 127.0.0.1 comes as an AggregateError with an empty message.
  return new InfrastructureError(`Postgres can't be had: ${message || code}`, {
    cause: error,
    opensCircuit: refusedCodes.has(code),
  });
}
