import { retryDelay, toldDelay } from './clock.js';
import type { Clock, EndReason } from './types.js';
import type { Wire } from './wire.js';

/** After so long without a byte a stream is taken for dead. In ms; heartbeats are three times as often. */
const silence = 45_000;

/** What a stream needs of the session, and does to it. */
export interface LiveSession {
  /** The token to ask with and the session's id; null if there is none now. */
  current(): { token: string; sid: string } | null;
  /** The session has ended. */
  ended(sid: string, reason: EndReason): void;
  /** The token is no good. */
  refused(token: string, reason: string | undefined): void;
}

/** Live listens to GET /sessions/events, so that a sign-out from elsewhere arrives at once. */
export class Live {
  /** The attempt that counts. */
  #attempt: AbortController | null = null;
  #cancelTimer = (): void => undefined;
  #failures = 0;
  #off = false;
  #notBefore = -Infinity;

  constructor(
    private readonly wire: Wire,
    private readonly clock: Clock,
    private readonly random: () => number,
    private readonly session: LiveSession,
  ) {}

  /** Listens from now on, if it does not already. */
  open(): void {
    if (!this.#attempt && !this.#off) void this.#listen();
  }

  /** Listens no more. */
  close(): void {
    this.#cancelTimer();
    this.#attempt?.abort();
    this.#attempt = null;
    this.#failures = 0;
  }

  /** Comes back at once, if it is waiting to and may. */
  hurry(): void {
    if (this.#attempt?.signal.aborted && this.clock.now() >= this.#notBefore) void this.#listen();
  }

  async #listen(): Promise<void> {
    this.#cancelTimer();
    const who = this.session.current();
    if (!who) return void (this.#attempt = null);
    const attempt = (this.#attempt = new AbortController());
    this.#watch(attempt);
    let told: number | undefined;
    try {
      told = await this.#attend(who, attempt);
    } catch {
      // Broken, or given up.
    }
    if (this.#attempt === attempt && !this.#off) this.#again(attempt, told);
  }

  /** Follows the stream to its end. It returns the seconds of a Retry-After. */
  async #attend(who: { token: string; sid: string }, attempt: AbortController): Promise<number | undefined> {
    const path = '/sessions/events';
    const r = await this.wire.request({ method: 'GET', path, token: who.token }, attempt.signal);
    if (this.#attempt !== attempt) return undefined;
    if (!r.ok) {
      const a = await this.wire.judge(r);
      if (this.#attempt !== attempt || a.kind === 'ok') return undefined;
      if (a.kind === 'refused') this.session.refused(who.token, a.reason);
      this.#off = a.error.status === 404;
      return a.error.retryAfter;
    }
    if (!r.headers.get('Content-Type')?.startsWith('text/event-stream')) return undefined;
    if (!r.body) {
      this.#off = true; // this fetch does not stream
      return undefined;
    }
    const reader = r.body.getReader();
    const events = new EventReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done || this.#attempt !== attempt) return undefined;
      this.#watch(attempt);
      for (const e of events.push(value)) this.#event(e, who.sid);
    }
  }

  #event(e: { name: string; data: string }, sid: string): void {
    if (e.name === 'hello') this.#failures = 0;
    if (e.name !== 'ended') return;
    const { sid: whose, reason } = JSON.parse(e.data) as { sid?: unknown; reason?: unknown };
    if (whose === sid) this.session.ended(sid, typeof reason === 'string' && reason ? reason : 'logged_out_or_revoked');
  }

  #watch(attempt: AbortController): void {
    this.#cancelTimer();
    this.#cancelTimer = this.clock.after(silence, () => attempt.abort());
  }

  #again(attempt: AbortController, told: number | undefined): void {
    attempt.abort();
    this.#failures++;
    const delay = told === undefined ? retryDelay(this.#failures, 30, this.random()) : toldDelay(told, this.random());
    if (told !== undefined) this.#notBefore = this.clock.now() + delay;
    this.#cancelTimer();
    this.#cancelTimer = this.clock.after(delay, () => void this.#listen());
  }
}

/** The longest event that is read; ours have a few hundred characters. */
const longestEvent = 64 << 10;

/** Reads server-sent events (HTML Living Standard §9.2) out of pieces of a stream. */
export class EventReader {
  readonly #decoder = new TextDecoder();
  #rest = '';

  push(bytes: Uint8Array): { name: string; data: string }[] {
    this.#rest += this.#decoder.decode(bytes, { stream: true });
    // A line break at the very end may be the first half of one.
    const blocks = this.#rest.split(/\r\n\r\n|\n\n|\r\r(?!\n)/);
    this.#rest = blocks.pop() ?? '';
    if (this.#rest.length > longestEvent) throw new Error('an event without an end');
    return blocks.map(read).filter((e) => e.data !== '');
  }
}

function read(block: string): { name: string; data: string } {
  let name = 'message';
  const data: string[] = [];
  for (const line of block.split(/\r\n|\n|\r/)) {
    const at = line.indexOf(':');
    const field = at < 0 ? line : line.slice(0, at);
    const value = at < 0 ? '' : line.slice(at + 1).replace(/^ /, '');
    if (field === 'event') name = value;
    if (field === 'data') data.push(value);
  }
  return { name, data: data.join('\n') };
}
