import type { Storage } from './types.js';

/** What is stored of a session. All clients of sessiongate have the same form. */
export interface Held {
  readonly access?: string;
  readonly refresh?: string;
  readonly sid?: string;
  /** The gateway's text; only ever compared with another one of the same session. */
  readonly expiresAt?: string;
}

/** A store's content: the session, and tokens that the gateway has not been told of. */
export interface Content {
  readonly held: Held | null;
  readonly signedOut: readonly string[];
}

const nothing: Content = { held: null, signedOut: [] };

/** The most sign-outs that wait for a network. */
const maxSignedOut = 5;

/**
 * Store reads and writes a session. A storage that fails loses the session at the
 * next start, and nothing before: what was known last is remembered here.
 */
export class Store {
  #known: Content = nothing;
  /** What was to be written, while it isn't. */
  #unwritten: Content | undefined;
  /** The last write: whatever follows waits for it. */
  #writing: Promise<void> = Promise.resolve();

  constructor(private readonly storage: Storage) {}

  async read(): Promise<Content> {
    await this.#writing;
    return this.#look();
  }

  /** Writes what change makes of what is there. It never fails. */
  write(change: (was: Content) => Content): Promise<void> {
    this.#writing = this.#writing.then(async () => {
      const was = await this.#look();
      const now = change(was);
      if (now === was) return;
      this.#known = this.#unwritten = now;
      try {
        if (now.held || now.signedOut.length > 0) await this.storage.set(format(now));
        else await this.storage.remove();
        this.#unwritten = undefined;
      } catch {
        // Full, or forbidden: it lives on in memory.
      }
    });
    return this.#writing;
  }

  async #look(): Promise<Content> {
    if (this.#unwritten) return this.#unwritten;
    try {
      this.#known = parse(await this.storage.get());
    } catch {
      // Locked, for now: what cannot be read is not what is not there.
    }
    return this.#known;
  }
}

function parse(text: string | null): Content {
  if (!text) return nothing;
  let v: unknown;
  try {
    v = JSON.parse(text);
  } catch {
    return nothing;
  }
  if (typeof v !== 'object' || v === null || (v as { v?: unknown }).v !== 1) return nothing;
  const r = v as Record<string, unknown>;
  const access = textOf(r['access_token']);
  const refresh = textOf(r['refresh_token']);
  const list: unknown[] = Array.isArray(r['signed_out']) ? r['signed_out'] : [];
  return {
    held: access || refresh
      ? compact({ access, refresh, sid: textOf(r['session_id']), expiresAt: textOf(r['expires_at']) })
      : null,
    signedOut: list.filter((t): t is string => typeof t === 'string').slice(-maxSignedOut),
  };
}

function format({ held, signedOut }: Content): string {
  return JSON.stringify({
    v: 1,
    access_token: held?.access,
    refresh_token: held?.refresh,
    session_id: held?.sid,
    expires_at: held?.expiresAt,
    signed_out: signedOut.length > 0 ? signedOut.slice(-maxSignedOut) : undefined,
  });
}

const textOf = (v: unknown): string | undefined => (typeof v === 'string' && v !== '' ? v : undefined);

/** The members that are there. */
export function compact(h: { [K in keyof Held]: string | undefined }): Held {
  return Object.fromEntries(Object.entries(h).filter(([, v]) => v !== undefined));
}

/** Whether both are the same rotation of the same session. */
export const same = (a: Held | null, b: Held | null): boolean =>
  a?.access === b?.access && a?.refresh === b?.refresh;
