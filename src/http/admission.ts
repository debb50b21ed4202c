import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { Problem } from './problem.ts';

/** So many refusals may wait on one connection. */
const mostWaiting = 16;

export interface AdmissionOptions {
  /** So many requests may be under way at once. */
  maxRequests: number;
  /** So many bytes may the large ones among their bodies have, all together. */
  maxBytes: number;
  /** A body of so many bytes isn't large: notices of few orders are let in whatever large ones are under way. */
  smallBytes: number;
  /** How many bytes are read of a body at most; of one whose length nobody told, a quarter of `maxBytes` is reckoned. */
  bodyLimit: number;
  /** A sender that is silent for so long in the middle of its body is cut off, in ms; twice as long at the most. */
  bodyIdleMs: number;
  /** What a request that isn't let in is told to wait, in seconds. */
  retryAfterSeconds: number;
}

export interface Admission {
  /**
   * Refuses a request if there is no room for it, before anything is looked up for it: refusing must not take the
   * time of those who were let in. It takes no room yet: who it is isn't known, and strangers must not fill it.
   */
  look(request: FastifyRequest, reply: FastifyReply): Problem | undefined;
  /** Lets a request in whose sender is known, until it is answered or its connection breaks; refuses it if there is no room. */
  enter(request: FastifyRequest, reply: FastifyReply): Problem | undefined;
  /** Ends the timer. */
  close(): void;
}

/**
 * Makes the hooks that let no more requests in than there is room for in memory, before their bodies are read.
 *
 * Those beyond get the problem `unavailable`, with `Retry-After`: nothing of them was read or stored. Senders that are gone
 * without a word give their room back after a while: Node itself would wait for the rest of a body without end.
 */
export function createAdmission(options: AdmissionOptions): Admission {
  const { maxRequests, maxBytes, smallBytes, bodyLimit, bodyIdleMs, retryAfterSeconds } = options;
  let requests = 0;
  let bytes = 0;
  // One for all: under too much load there may be thousands in a second, and each stack takes time to write.
  const refusal = new Problem('unavailable', 'There are more requests under way than there is room for.', {
    headers: { 'retry-after': String(retryAfterSeconds) },
  });
  const sizeOf = ({ headers }: FastifyRequest) =>
    Math.min(Number(headers['content-length'] ?? maxBytes / 4), bodyLimit);
  const largeSizeOf = (request: FastifyRequest) => {
    const size = sizeOf(request);
    return size > smallBytes ? size : 0;
  };
  // A large one that is the only one is let in, however large.
  const isFull = (size: number) =>
    requests >= maxRequests || (size > 0 && bytes > 0 && bytes + size > maxBytes);
  /** How many refusals wait on a connection, behind an answer that is under way. */
  const waiting = new WeakMap<Socket, number>();
  const refuse = ({ raw: { socket } }: FastifyRequest, { raw: response }: FastifyReply) => {
    // Node gives a response its socket when it is its turn: this one stands behind another.
    if (response.socket === null) setImmediate(holdUp, socket, response);
    return refusal;
  };
  // Who sends on without waiting for answers (HTTP pipelining) is read no further until he has this one, and cut off if
  // he has sent many by then. Else refusals would pile up in memory. Called a turn later: Node reads on when a request
  // is complete.
  const holdUp = (socket: Socket, response: ServerResponse) => {
    if (response.writableFinished) return;
    const count = (waiting.get(socket) ?? 0) + 1;
    if (count > mostWaiting) {
      socket.destroy();
      return;
    }
    waiting.set(socket, count);
    socket.pause();
    response.once('close', () => {
      waiting.set(socket, (waiting.get(socket) ?? 1) - 1);
      socket.resume();
    });
  };
  /** For each connection what is to be done when it breaks, for requests whose turn had not come. */
  const behind = new WeakMap<Socket, Set<() => void>>();
  /** Calls `over` once, when there was an answer or the connection broke before. */
  const whenOver = (socket: Socket, response: ServerResponse, over: () => void) => {
    if (response.socket !== null) {
      response.once('close', over);
      return;
    }
    // A response that stands behind another is not told of its connection's end.
    const all = behind.get(socket) ?? new Set();
    if (!behind.has(socket)) {
      behind.set(socket, all);
      socket.once('close', () => {
        for (const each of all) each();
      });
    }
    const once = () => {
      if (all.delete(once)) over();
    };
    all.add(once);
    response.once('close', once);
  };
  /** What was let in and isn't over, and how many bytes had come on its connection when it was looked at last. */
  const inside = new Map<IncomingMessage, number>();
  const looking = setInterval(() => {
    for (const [raw, bytesBefore] of inside) {
      const { bytesRead } = raw.socket;
      // A socket that is paused isn't silent: it is we who read no further.
      const waits = raw.complete || raw.readableEnded || raw.socket.isPaused();
      if (!waits && bytesRead === bytesBefore) raw.destroy();
      else inside.set(raw, bytesRead);
    }
  }, bodyIdleMs).unref();
  return {
    look: (request, reply) => (isFull(largeSizeOf(request)) ? refuse(request, reply) : undefined),
    enter(request, reply) {
      const { socket } = request.raw;
      if (socket.destroyed) return refusal; // it broke while its key was looked up: nothing would tell that it is over
      const size = largeSizeOf(request);
      if (isFull(size)) return refuse(request, reply);
      requests += 1;
      bytes += size;
      inside.set(request.raw, -1);
      whenOver(socket, reply.raw, () => {
        inside.delete(request.raw);
        requests -= 1;
        bytes -= size;
      });
      return undefined;
    },
    close: () => clearInterval(looking),
  };
}
