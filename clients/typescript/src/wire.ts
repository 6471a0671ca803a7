import { SessionError } from './errors.js';
import type { Clock, Device, Grant, Session, Times } from './types.js';

/** How long an answer may take, in ms. */
export const patience = 15_000;

/** What became of a call. */
export type Answer =
  | { kind: 'ok'; body: unknown }
  /** The gateway knows that the credential is no good. In cookie mode, that there is none. */
  | { kind: 'refused'; reason: string | undefined; error: SessionError }
  /** Anything else: nothing is known of the session. */
  | { kind: 'error'; error: SessionError };

/** A call of the gateway. */
export interface Call {
  method: 'GET' | 'POST' | 'DELETE';
  path: string;
  /** Without one, in token mode, there is no Authorization. */
  token?: string | undefined;
  body?: unknown;
  signal?: AbortSignal;
}

/** Wire speaks with the gateway. */
export class Wire {
  constructor(
    readonly baseUrl: string,
    readonly cookie: boolean,
    /** What sign-ins say of the device. */
    readonly device: { device_info?: Device },
    private readonly fetch: typeof globalThis.fetch,
    private readonly clock: Clock,
  ) {}

  /** Makes a request; rejects as fetch does. */
  request(call: Call, signal?: AbortSignal): Promise<Response> {
    const headers: Record<string, string> = {};
    if (call.token && !this.cookie) headers['Authorization'] = `Bearer ${call.token}`;
    if (call.body !== undefined) headers['Content-Type'] = 'application/json';
    return this.fetch(this.baseUrl + call.path, {
      method: call.method,
      headers,
      cache: 'no-store',
      credentials: this.cookie ? 'include' : 'omit',
      ...(call.body !== undefined && { body: JSON.stringify(call.body) }),
      ...(signal && { signal }),
    });
  }

  /** Makes a request and reads its answer, within the time that it may take. It never rejects. */
  async send(call: Call): Promise<Answer> {
    const stop = new AbortController();
    let giveUp = (_why: string): void => undefined;
    const over = new Promise<never>((_, reject) => {
      giveUp = (why) => {
        reject(new Error(why));
        stop.abort();
      };
    });
    over.catch(() => undefined);
    const cancel = this.clock.after(patience, () => giveUp('no answer'));
    const unwanted = (): void => giveUp('not wanted any more');
    call.signal?.addEventListener('abort', unwanted);
    try {
      return await Promise.race([this.request(call, stop.signal).then((r) => this.judge(r)), over]);
    } catch (e) {
      return { kind: 'error', error: new SessionError('network', e instanceof Error ? e.message : 'no answer') };
    } finally {
      cancel();
      call.signal?.removeEventListener('abort', unwanted);
    }
  }

  /** Reads an answer to its end and says what it means. */
  async judge(r: Response): Promise<Answer> {
    const body = parse(await r.text());
    if (r.ok) return { kind: 'ok', body };
    const p = isObject(body) ? body : {};
    const code = text(p['code']) ?? 'protocol';
    const reason = text(p['reason']);
    const error = new SessionError(
      code, text(p['detail']) ?? text(p['title']) ?? `The answer is ${r.status}.`, r.status, reason,
      text(p['request_id']), retryAfter(r.headers),
    );
    const refused = r.status === 401 && code === 'unauthenticated' && (reason !== undefined || this.cookie);
    return refused ? { kind: 'refused', reason, error } : { kind: 'error', error };
  }
}

/** The seconds of Retry-After; a date is somebody else's, and compared with no clock. */
function retryAfter(h: Headers): number | undefined {
  const s = h.get('Retry-After');
  return s && /^\d{1,6}$/.test(s) ? Number(s) : undefined;
}

function parse(s: string): unknown {
  try {
    return JSON.parse(s);
  } catch {
    return undefined;
  }
}

const isObject = (v: unknown): v is Record<string, unknown> => typeof v === 'object' && v !== null;
const text = (v: unknown): string | undefined => (typeof v === 'string' ? v : undefined);
const isSeconds = (v: unknown): boolean => typeof v === 'number' && v >= 0 && v < 1e10;

/** Whether a body is what the gateway answers, and not a page of somebody else's. */
export function isTimed(v: unknown): v is Times & { session: Session } {
  return isObject(v) && isSeconds(v['expires_in']) && isSeconds(v['refresh_after']) &&
    isObject(v['session']) && typeof v['session']['id'] === 'string' && typeof v['session']['expires_at'] === 'string';
}

/** Whether it is a grant, with the token where there has to be one. */
export function isGrant(v: unknown, cookie: boolean): v is Grant {
  const token = isTimed(v) ? (v as Grant).access_token : undefined;
  return isTimed(v) && (cookie || (typeof token === 'string' && token !== ''));
}

/** The error for a body that is not the gateway's. */
export const foreign = (): SessionError => new SessionError('protocol', 'The answer is not one of the gateway.', 200);
