import type { Clock, EndReason, Times } from './types.js';

/** What tabs tell each other. No token is among it: those are in the store that they share. */
export type Message =
  | { kind: 'granted'; times: Times; sid: string; expiresAt: string }
  | { kind: 'ended'; reason: EndReason; sid: string | undefined };

/** The other instances of the application on this device, as far as they can be reached. */
export interface Tabs {
  tell(m: Message): void;
  /** Runs when no other tab does; or anyway, if that takes too long. */
  alone(run: () => Promise<void>, signal: AbortSignal): Promise<void>;
  /** Runs in one tab of all, until the signal. */
  lead(run: () => void, signal: AbortSignal): void;
  close(): void;
}

/** No other tabs. */
export const noTabs: Tabs = {
  tell: () => undefined,
  alone: (run) => run(),
  lead: (run) => run(),
  close: () => undefined,
};

/** How long to wait for another tab's refresh before doing without the lock. In ms. */
const lockPatience = 5_000;

/**
 * The browser's other tabs, by BroadcastChannel and Web Locks. Both only save work: the
 * gateway gives the same successor to all who refresh the same token.
 */
export function browserTabs(name: string, clock: Clock, hear: (m: Message) => void): Tabs {
  if (typeof BroadcastChannel === 'undefined') return noTabs;
  const channel = new BroadcastChannel(name);
  channel.onmessage = (e: MessageEvent<Message>) => hear(e.data);
  const locks = typeof navigator === 'undefined' ? undefined : navigator.locks;
  return {
    tell: (m) => channel.postMessage(m),
    close: () => channel.close(),
    async alone(run, signal) {
      if (!locks) return run();
      const late = new AbortController();
      const cancel = clock.after(lockPatience, () => late.abort());
      const giveUp = (): void => late.abort();
      signal.addEventListener('abort', giveUp);
      let began = false;
      try {
        await locks.request(`${name}:refresh`, { signal: late.signal }, () => {
          began = true;
          return run();
        });
      } catch {
        if (!began && !signal.aborted) await run();
      } finally {
        cancel();
        signal.removeEventListener('abort', giveUp);
      }
    },
    lead(run, signal) {
      if (!locks) return run();
      const held = (): Promise<void> | undefined => {
        if (signal.aborted) return undefined;
        run();
        return new Promise((done) => signal.addEventListener('abort', () => done()));
      };
      locks.request(`${name}:live`, { signal }, held).catch(() => undefined); // aborted while waiting
    },
  };
}

/** Calls back when the page can be seen again, and when there is a network again. */
export function watchPage(resume: () => void, online: () => void): () => void {
  if (typeof document === 'undefined' || typeof window === 'undefined') return () => undefined;
  const seen = (): void => {
    if (document.visibilityState === 'visible') resume();
  };
  document.addEventListener('visibilitychange', seen);
  window.addEventListener('pageshow', seen);
  window.addEventListener('online', online);
  return () => {
    document.removeEventListener('visibilitychange', seen);
    window.removeEventListener('pageshow', seen);
    window.removeEventListener('online', online);
  };
}
