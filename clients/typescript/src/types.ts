/**
 * What the session is like, as far as the client knows.
 *
 * - `unknown`: not started, or the first answer has not come.
 * - `signed_out`: there is no session.
 * - `active`: the gateway's last word was that the session is good.
 * - `stale`: signed in, but the gateway could not be asked. Show the signed-in part
 *   of the application here, too: only the gateway ends a session.
 */
export type SessionState = 'unknown' | 'signed_out' | 'active' | 'stale';

/**
 * Why there is no session any more: the gateway's `reason` or `end_reason`, or
 * `signed_out` for a sign-out on this device. Gateways may add more.
 */
export type EndReason =
  | 'signed_out' | 'expired' | 'logged_out_or_revoked' | 'superseded' | 'refresh_reused' | 'invalid'
  | 'logout' | 'logout_all' | 'revoked' | 'removed_in_redis' | 'evicted' | 'absolute_timeout'
  | 'idle_timeout' | 'password_changed' | 'not_remembered' | 'too_many_sessions' | (string & {});

/** One signed-in device of a user, as every endpoint of the gateway shows it. */
export interface Session {
  id: string;
  user_id: string;
  device_info: string;
  device_id?: string;
  platform?: string;
  ip_address: string;
  country?: string;
  user_agent: string;
  is_active: boolean;
  created_at: string;
  last_activity: string;
  expires_at: string;
  absolute_expires_at?: string;
  client_id: string;
  scope: string;
  amr: string[];
  /** Whether it is the one that asks. */
  current: boolean;
  ended_at?: string;
  end_reason?: EndReason;
}

/** How long a session is good, in seconds from the moment of the answer on. */
export interface Times {
  expires_in: number;
  refresh_after: number;
  server_time: string;
  idle_expires_in?: number;
  absolute_expires_in?: number;
}

/** The answer to a sign-in or a refresh. In cookie mode it has no token. */
export interface Grant extends Times {
  access_token?: string;
  token_type?: string;
  refresh_token?: string;
  refresh_token_expires_in?: number;
  session: Session;
}

/** The answer of `GET /sessions/status`. */
export interface SessionStatus extends Times {
  active: true;
  session: Session;
}

/** A page of sessions. */
export interface SessionPage {
  sessions: Session[];
  next_cursor: string | null;
}

/** One entry of the user's log. */
export interface LogEntry {
  id: string;
  created_at: string;
  user_id: string;
  session_id?: string;
  action: 'login' | 'token_refresh' | 'logout' | 'session_expired';
  success: boolean;
  error_message?: string;
  reason?: string;
  device_info: string;
  ip_address: string;
  user_agent: string;
  country?: string;
}

/** A page of the user's log. */
export interface LogPage {
  logs: LogEntry[];
  next_cursor: string | null;
}

/** What the application says about the device. Users see it in their list. */
export interface Device {
  name?: string;
  platform?: string;
  /** The application's own id of the installation. */
  id?: string;
}

/** A user's own sign-in. */
export interface Credentials {
  identifier: string;
  password: string;
  /** Whether to start a new session on this device when the old one's time ran out. */
  remember?: boolean;
}

/** What subscribers and `client.snapshot` get. A new object whenever something changes. */
export interface Snapshot {
  readonly state: SessionState;
  /** Of `signed_out`: why there is no session any more; undefined if there was none. */
  readonly reason?: EndReason;
  /** Of `active` and `stale`, once the gateway has told. */
  readonly session?: Session;
}

/** Where the session is kept over restarts: one text under one name. */
export interface Storage {
  get(): Promise<string | null> | string | null;
  set(text: string): Promise<void> | void;
  remove(): Promise<void> | void;
  /** Tells tabs of the same store from others; unset if no other tab sees it. */
  readonly shared?: string;
}

/** Time that only goes forward, the time of day, and timers. In ms. */
export interface Clock {
  now(): number;
  wall(): number;
  /** Calls run once, later. The result cancels it. */
  after(ms: number, run: () => void): () => void;
}

/** Settings of a client. Only `baseUrl` has to be there. */
export interface Options {
  /** Where the gateway is: `https://auth.example.com`, or `/auth` in a browser. */
  baseUrl: string;
  /**
   * `token` (the default): the client keeps the token, in `storage`.
   * `cookie`: the browser does, in an HttpOnly cookie that no script sees.
   */
  mode?: 'token' | 'cookie';
  /** Where tokens are kept; in memory unless told. */
  storage?: Storage;
  /** Sent with sign-ins. */
  device?: Device;
  /** Whether a sign-out from elsewhere arrives at once; true unless told. Needs a `fetch` that streams. */
  live?: boolean;
  /** Origins beside the gateway's that `client.fetch` gives the token to. */
  apiOrigins?: string[];
  /** Instead of the global one. */
  fetch?: typeof fetch;
  clock?: Clock;
  /** 0 ≤ n < 1, spreads retries. */
  random?: () => number;
  /** Whether to look after visibility, the network and other tabs by itself; true unless told. */
  environment?: boolean;
}
