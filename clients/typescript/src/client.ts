import { systemClock } from './clock.js';
import { Core, fresh } from './core.js';
import { SessionError } from './errors.js';
import { Farewell } from './farewell.js';
import { Live } from './live.js';
import { Store } from './record.js';
import { memoryStorage } from './storage.js';
import { browserTabs, noTabs, watchPage, type Message, type Tabs } from './tabs.js';
import type {
  Clock, Credentials, Grant, LogPage, Options, SessionPage, SessionStatus, Snapshot,
} from './types.js';
import { foreign, isGrant, Wire, type Answer, type Call } from './wire.js';

/** Keeps a user signed in. Make one for the whole application. */
export function createSessionClient(options: Options): SessionClient {
  return new SessionClient(options);
}

/** See `createSessionClient`. All methods are bound: they can be handed on as they are. */
export class SessionClient {
  readonly #wire: Wire;
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #core: Core;
  readonly #farewell: Farewell;
  readonly #live: Live | null;
  readonly #tabs: Tabs;
  readonly #watches: boolean;
  readonly #fetch: typeof fetch;
  readonly #origins: ReadonlySet<string>;
  readonly #listeners = new Set<(s: Snapshot) => void>();
  #started: Promise<void> | null = null;
  #unwatch = (): void => undefined;
  #leading: AbortController | null = null;
  #liveSid: string | undefined;

  constructor(o: Options) {
    const baseUrl = o.baseUrl.replace(/\/+$/, '');
    const cookie = o.mode === 'cookie';
    const storage = o.storage ?? memoryStorage();
    const random = o.random ?? Math.random;
    this.#fetch = o.fetch ?? globalThis.fetch.bind(globalThis);
    this.#clock = o.clock ?? systemClock;
    this.#origins = new Set([baseUrl, ...(o.apiOrigins ?? [])].map(originOf));
    this.#wire = new Wire(baseUrl, cookie, o.device ? { device_info: o.device } : {}, this.#fetch, this.#clock);
    this.#store = new Store(storage);
    const group = cookie ? baseUrl : storage.shared;
    this.#watches = o.environment !== false;
    this.#tabs = group !== undefined && this.#watches && typeof document !== 'undefined'
      ? browserTabs(`sessiongate:${group}`, this.#clock, (m) => this.#hear(m))
      : noTabs;
    this.#core = new Core(this.#wire, this.#store, this.#clock, random, {
      changed: () => this.#changed(),
      granted: ({ expires_in, refresh_after, server_time, idle_expires_in: idle }, session) =>
        this.#tabs.tell({
          kind: 'granted',
          sid: session.id,
          expiresAt: session.expires_at,
          times: { expires_in, refresh_after, server_time, ...(idle !== undefined && { idle_expires_in: idle }) },
        }),
      ended: (reason, sid) => this.#tabs.tell({ kind: 'ended', reason, sid }),
      alone: (run, signal) => this.#tabs.alone(run, signal),
    });
    this.#farewell = new Farewell(this.#wire, this.#store, this.#clock, random);
    this.#live = o.live === false ? null : new Live(this.#wire, this.#clock, random, {
      current: () => this.#current(),
      ended: (sid, reason) => {
        this.#stopLive();
        void this.#core.ended(sid, reason);
      },
      refused: (access, reason) => {
        const sent = this.#core.held;
        if (sent?.access === access) void this.#core.refused(sent, reason);
      },
    });
  }

  /** What there is to know now. The same object until something changes. */
  get snapshot(): Snapshot {
    return this.#core.snapshot;
  }

  /** Calls back with every change. The result ends that. */
  readonly subscribe = (listener: (s: Snapshot) => void): (() => void) => {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  };

  /** Takes up the stored session, if there is one, and keeps it from then on. Ready when it is known what there is. */
  readonly start = async (): Promise<Snapshot> => {
    this.#started ??= this.#begin();
    await this.#started;
    return this.snapshot;
  };

  /** Stops timers and requests, and leaves the session as it is. `start` goes on. */
  readonly stop = (): void => {
    this.#core.stop();
    this.#farewell.stop();
    this.#stopLive();
    this.#unwatch();
    this.#started = null;
  };

  /** Signs the user in. Fails with a `SessionError`: `invalid_credentials`, `network`, … */
  readonly login = (c: Credentials): Promise<Snapshot> => {
    const body = {
      identifier: c.identifier,
      password: c.password,
      ...this.#wire.device,
      ...(c.remember && { remember: true }),
      ...(this.#wire.cookie && { cookie: true }),
    };
    return this.#open(() => this.#wire.send({ method: 'POST', path: '/sessions/login', body }));
  };

  /** Takes over a session that the application's own backend has opened (`POST /sessions`). */
  readonly accept = (grant: Grant): Promise<Snapshot> => this.#open(async () => ({ kind: 'ok', body: grant }));

  /** The token to send to an API: null if there is none, and in cookie mode, where no script sees it. */
  readonly getAccessToken = async (): Promise<string | null> => {
    if (this.snapshot.state === 'unknown') await this.start();
    const core = this.#core;
    if (core.held?.access && core.isDue && !core.retrying) {
      const refreshed = core.sync('refresh');
      if (!core.roomy) await refreshed;
    }
    return this.#wire.cookie ? null : core.held?.access ?? null;
  };

  /** Refreshes now, if the gateway may be asked. Gives the token that there is then, as `getAccessToken` does. */
  readonly refresh = async (): Promise<string | null> => {
    if (this.snapshot.state === 'unknown') await this.start();
    await this.#core.sync('refresh');
    return this.#wire.cookie ? null : this.#core.held?.access ?? null;
  };

  /**
   * `fetch`, with the token where it belongs: requests to the gateway's origin and to
   * `apiOrigins`. A 401 is tried again once with a new token, if the body can be sent twice.
   */
  readonly fetch = async (input: RequestInfo | URL, init?: RequestInit): Promise<Response> => {
    const target = input instanceof Request ? input : absolute(String(input), this.#wire.baseUrl);
    const make = (): Request => new Request(target, init);
    const first = make();
    if (!this.#origins.has(originOf(first.url)) || first.headers.has('Authorization')) return this.#fetch(first);
    const token = await this.getAccessToken();
    const { rotation, held } = this.#core;
    const answer = await this.#fetch(this.#signed(first, token));
    if (answer.status !== 401 || !held?.access || !canRepeat(input, init)) return answer;
    if (this.#core.rotation === rotation && this.#clock.now() - this.#core.obtained >= fresh) {
      await this.#core.sync('refresh');
    }
    const next = this.#core.held?.access;
    if (this.#core.rotation === rotation || !next) return answer;
    await answer.body?.cancel();
    return this.#fetch(this.#signed(make(), next));
  };

  /** Signs out on this device: at once, and at the gateway as soon as it can be reached. */
  readonly logout = async (): Promise<void> => {
    await this.#core.load();
    const token = this.#core.held?.access;
    this.#stopLive();
    await this.#core.end('signed_out', token);
    await this.#farewell.send();
  };

  /**
   * Signs out on all devices, or on all others. Gives how many sessions have ended. It
   * can't be promised without the gateway: it fails then, and nothing has changed.
   */
  readonly logoutAll = async (o: { exceptCurrent?: boolean } = {}): Promise<number> => {
    const body = o.exceptCurrent ? { except_current: true } : {};
    const { revoked } = await this.#call<{ revoked: number }>({ method: 'POST', path: '/sessions/logout-all', body });
    if (!o.exceptCurrent) await this.#core.end('signed_out');
    return revoked;
  };

  /** What the gateway says of the session now. */
  readonly status = (): Promise<SessionStatus> => this.#call({ method: 'GET', path: '/sessions/status' });

  /** The user's sessions: their devices. */
  readonly sessions = (
    o: { state?: 'active' | 'ended' | 'all'; limit?: number; cursor?: string } = {},
  ): Promise<SessionPage> => this.#call({ method: 'GET', path: '/sessions/my-sessions' + query(o) });

  /** Ends one of the user's sessions. */
  readonly endSession = async (id: string): Promise<void> => {
    await this.#call({ method: 'DELETE', path: '/sessions/my-sessions/' + encodeURIComponent(id) });
  };

  /** What happened to the user's sessions. */
  readonly logs = (
    o: { action?: string; session_id?: string; from?: string; to?: string; limit?: number; cursor?: string } = {},
  ): Promise<LogPage> => this.#call({ method: 'GET', path: '/sessions/my-session-logs' + query(o) });

  /** The application is in the foreground again. In browsers the client notices by itself. */
  readonly resume = async (): Promise<void> => {
    this.#live?.hurry();
    const core = this.#core;
    if (core.retrying) return core.hurry();
    if (core.held && core.hasWaited) await core.sync(core.isDue ? 'refresh' : 'status');
  };

  /** There is a network again. In browsers the client notices by itself. */
  readonly online = async (): Promise<void> => {
    this.#live?.hurry();
    void this.#farewell.send();
    await this.#core.hurry();
  };

  /** The user did something: it counts against an idle timeout, with the next refresh. */
  readonly touch = (): void => void (this.#core.touched = true);

  async #begin(): Promise<void> {
    if (this.#watches) this.#unwatch = watchPage(() => void this.resume(), () => void this.online());
    void this.#farewell.send();
    await this.#core.begin();
  }

  async #open(ask: () => Promise<Answer>): Promise<Snapshot> {
    if (!this.#started) await this.start();
    if (this.#wire.cookie) await this.#forgetFarewell();
    const { epoch } = this.#core;
    const a = await ask();
    if (a.kind !== 'ok') throw a.error;
    if (!isGrant(a.body, this.#wire.cookie)) throw foreign();
    if (epoch.aborted && this.snapshot.reason === 'signed_out') {
      const token = a.body.access_token;
      if (token) await this.#store.write((was) => ({ ...was, signedOut: [...was.signedOut, token] }));
      void this.#farewell.send();
      throw new SessionError('signed_out', 'The user has signed out meanwhile.');
    }
    await this.#core.open(a.body);
    return this.snapshot;
  }

  /** A sign-out by cookie that still waits would be the next session's. */
  async #forgetFarewell(): Promise<void> {
    this.#farewell.stop();
    await this.#store.write((was) => (was.signedOut.length > 0 ? { ...was, signedOut: [] } : was));
  }

  /** A call of the gateway's own endpoints, whose refusal is the gateway's word. */
  async #call<T>(call: Call): Promise<T> {
    const token = (await this.getAccessToken()) ?? undefined;
    const sent = this.#core.held;
    if (!sent?.access) throw new SessionError('unauthenticated', 'Nobody is signed in.', 401, this.snapshot.reason);
    const a = await this.#wire.send({ ...call, token });
    if (a.kind === 'refused' && sent === this.#core.held) await this.#core.refused(sent, a.reason);
    if (a.kind !== 'ok') throw a.error;
    return a.body as T;
  }

  #signed(request: Request, token: string | null): Request {
    if (this.#wire.cookie) return new Request(request, { credentials: 'include' });
    if (token) request.headers.set('Authorization', `Bearer ${token}`);
    return request;
  }

  #current(): { token: string; sid: string } | null {
    const { held, snapshot } = this.#core;
    return held?.access && snapshot.session ? { token: held.access, sid: snapshot.session.id } : null;
  }

  #changed(): void {
    const { state, session } = this.snapshot;
    if (state === 'active' && session) this.#startLive(session.id);
    if (state === 'signed_out') this.#stopLive();
    for (const listener of [...this.#listeners]) listener(this.snapshot);
  }

  #startLive(sid: string): void {
    if (!this.#live || (this.#leading && this.#liveSid === sid)) return;
    this.#stopLive();
    this.#liveSid = sid;
    const live = this.#live;
    const leading = (this.#leading = new AbortController());
    this.#tabs.lead(() => live.open(), leading.signal);
  }

  #stopLive(): void {
    this.#leading?.abort();
    this.#leading = null;
    this.#live?.close();
  }

  #hear(m: Message): void {
    if (m.kind === 'granted') void this.#core.adopt(m.times, m.sid, m.expiresAt);
    else void this.#core.abandon(m.reason, m.sid);
  }
}

/** Whether a request can be sent a second time: a stream can't. */
function canRepeat(input: RequestInfo | URL, init: RequestInit | undefined): boolean {
  const isStream = typeof ReadableStream !== 'undefined' && init?.body instanceof ReadableStream;
  return !isStream && !(input instanceof Request && input.body);
}

function originOf(url: string): string {
  const whole = absolute(url, url);
  try {
    return new URL(whole).origin;
  } catch {
    return /^https?:\/\/[\w.:-]+(?=[/?#]|$)/i.exec(whole)?.[0].toLowerCase() ?? whole; // React Native's URL knows no origin
  }
}

/** A URL that may be relative to the page, or else to where the gateway is. */
function absolute(url: string, base: string): string {
  if (/^https?:/i.test(url)) return url;
  return typeof document === 'undefined' ? base + url : new URL(url, document.baseURI).href;
}

function query(o: Record<string, string | number | undefined>): string {
  const parts = Object.entries(o).flatMap(([name, v]) => (v === undefined ? [] : `${name}=${encodeURIComponent(v)}`));
  return parts.length > 0 ? `?${parts.join('&')}` : '';
}
