import { retryDelay, toldDelay } from './clock.js';
import type { SessionError } from './errors.js';
import { compact, same, type Held, type Store } from './record.js';
import type { Clock, EndReason, Grant, Session, Snapshot, Times } from './types.js';
import { foreign, isGrant, isTimed, type Answer, type Wire } from './wire.js';

/** Stands for a token that only the browser has. */
const inCookie: Held = { access: 'cookie', refresh: 'cookie' };

/** A token with less left is not handed out while another one can be had. In ms. */
const margin = 60_000;

/** A new token is not refreshed sooner, whatever the answer says. In ms. */
const leastDue = 5_000;

/** How long an answer of the gateway is fresh: neither resume nor a 401 asks again. In ms. */
export const fresh = 60_000;

/** How long to wait, time and again, for what another tab says it has written. In ms. */
const overtaken = [10, 20, 50, 100, 200, 500, 1000];

type Want = 'status' | 'refresh';

/** A stretch of time in which nobody signs in or out. */
function newEpoch(): { stop: AbortController; over: Promise<void> } {
  const stop = new AbortController();
  return { stop, over: new Promise((done) => stop.signal.addEventListener('abort', () => done(), { once: true })) };
}

/** What the core tells its surroundings of. */
export interface Surroundings {
  /** Something in the snapshot changed. */
  changed(): void;
  /** There is a new token, with so much time; other tabs may want to know. */
  granted(times: Times, session: Session): void;
  /** The session of this id is over; other tabs may want to know. */
  ended(reason: EndReason, sid: string | undefined): void;
  /** Runs one exchange with the gateway at a time, over all tabs where that can be. */
  alone(run: () => Promise<void>, signal: AbortSignal): Promise<void>;
}

/**
 * Core is the session: who is signed in, with what, and what the gateway said of it.
 * clients/contract/README.md says how it behaves, and the vectors hold it to that.
 */
export class Core {
  snapshot: Snapshot = { state: 'unknown' };
  held: Held | null = null;
  /** Grows with each token. */
  rotation = 0;
  /** When the token came, on the clock that only goes forward; long ago if that is not known. */
  obtained = -Infinity;
  touched = false;

  #countsIdle = false;
  #due = Infinity;
  #good = Infinity;
  #heard = -Infinity;
  #heardWall = -Infinity;
  #failures = 0;
  #notBefore = -Infinity;
  #want: Want = 'status';
  #retrying = false;
  #cancelTimer = (): void => undefined;
  #running: Promise<void> | null = null;
  #toldActive = false;
  #ranOut: EndReason = 'expired';
  #epoch = newEpoch();

  constructor(
    private readonly wire: Wire,
    private readonly store: Store,
    private readonly clock: Clock,
    private readonly random: () => number,
    private readonly around: Surroundings,
  ) {}

  /** What was begun before this is aborted counts no more. */
  get epoch(): AbortSignal {
    return this.#epoch.stop.signal;
  }

  /** Takes what is stored, and asks the gateway about it. */
  async begin(): Promise<void> {
    const epoch = this.epoch;
    const { held, signedOut } = await this.store.read();
    if (epoch.aborted) return;
    const stored = !this.wire.cookie ? held : signedOut.length === 0 ? inCookie : null;
    if (!stored) return this.#publish({ state: 'signed_out' });
    this.#take(stored);
    await this.sync('status');
  }

  /** Takes what is stored, and asks nobody. */
  async load(): Promise<void> {
    if (this.snapshot.state !== 'unknown' || this.held) return;
    const { held } = await this.store.read();
    if (this.wire.cookie) this.#take(inCookie);
    else if (held && !this.held) this.#take(held);
  }

  /** Whether there is time left, on the gateway's word, for more than a request. */
  get roomy(): boolean {
    return this.#good - this.clock.now() > margin;
  }
  get isDue(): boolean {
    return this.clock.now() >= this.#due;
  }
  get retrying(): boolean {
    return this.#retrying;
  }
  get hasWaited(): boolean {
    return this.clock.now() - this.#heard >= fresh || Math.abs(this.clock.wall() - this.#heardWall) >= fresh;
  }

  /**
   * Asks the gateway, once for all who want it at the same time. It never fails: what
   * became of it is in the snapshot.
   */
  sync(want: Want): Promise<void> {
    if (this.#running) return this.#running;
    if (!this.held || this.clock.now() < this.#notBefore) return Promise.resolve();
    this.#stopTimer();
    const epoch = this.epoch;
    const asked = this.rotation;
    const exchange = this.around.alone(() => this.#exchange(want, asked, epoch), epoch);
    const running = Promise.race([exchange, this.#epoch.over]).finally(() => {
      if (this.#running === running) this.#running = null;
      if (!epoch.aborted && this.isDue && !this.#retrying) void this.sync('refresh');
    });
    return (this.#running = running);
  }

  /** Makes the next try at once, if one is waiting and may be made. */
  hurry(): Promise<void> {
    return this.#retrying ? this.sync(this.#want) : Promise.resolve();
  }

  /** A session begins, or takes the place of another one. */
  async open(grant: Grant): Promise<void> {
    const at = this.clock.now();
    this.#void();
    const epoch = this.epoch;
    const held = this.#heldOf(grant, null);
    // A sign-out by cookie that still waits would be the new session's.
    await this.store.write((was) => (this.wire.cookie ? { held: null, signedOut: [] } : { ...was, held }));
    if (!epoch.aborted) this.#got(held, grant, at);
  }

  /** The session ends. signedOut is a token that the gateway has to be told of. */
  async end(reason: EndReason, signedOut?: string): Promise<void> {
    const mine = this.held;
    const sid = this.#sid;
    this.#void();
    const epoch = this.epoch;
    this.held = null;
    await this.store.write((was) => {
      const queue = signedOut ? [...was.signedOut, signedOut] : was.signedOut;
      const isOver = was.held && (same(was.held, mine) || (sid !== undefined && was.held.sid === sid));
      const held = isOver ? null : was.held;
      return queue === was.signedOut && held === was.held ? was : { held, signedOut: queue };
    });
    if (epoch.aborted) return; // somebody has signed in meanwhile
    this.#publish({ state: 'signed_out', reason });
    this.around.ended(reason, sid);
  }

  /** Leaves everything as it is, and does nothing more. */
  stop(): void {
    this.#void();
  }

  /** The gateway has refused a token on another way; sent is the one. */
  async refused(sent: Held, reason: string | undefined): Promise<void> {
    const epoch = this.epoch;
    const next = await this.#refuse(sent, reason, epoch);
    if (next && !epoch.aborted) await this.sync(next);
  }

  /** The session of this id has ended, whatever token it has by now. */
  async ended(sid: string, reason: EndReason): Promise<void> {
    if (!this.held || this.snapshot.session?.id !== sid) return;
    if (reason === 'expired') await this.refused(this.held, reason);
    else await this.end(reason);
  }

  /** Another tab has written a new token, with so much time from now on. */
  async adopt(times: Times, sid: string, expiresAt: string): Promise<void> {
    const epoch = this.epoch;
    const at = this.clock.now();
    let { held } = await this.store.read();
    // Messages may overtake what is written: localStorage reaches other tabs when it does.
    for (const ms of this.wire.cookie ? [] : overtaken) {
      if (held?.expiresAt === expiresAt || epoch.aborted) break;
      await new Promise<void>((done) => this.clock.after(ms, done));
      ({ held } = await this.store.read());
    }
    if (epoch.aborted || this.snapshot.state === 'unknown') return;
    if (this.wire.cookie) {
      this.#take(inCookie); // somebody may have signed in there
      this.rotation++;
    } else {
      if (held?.expiresAt !== expiresAt) return; // it is over again
      if (!same(held, this.held)) this.#take(held);
    }
    const { session } = this.snapshot;
    if (session?.id !== sid) return this.sync('status');
    this.#heardOf(times, session, at);
  }

  /** Another tab has seen a session end. */
  async abandon(reason: EndReason, sid: string | undefined): Promise<void> {
    if (!this.held) return;
    const known = sid !== undefined && sid === this.#sid;
    if (known || (!this.wire.cookie && !(await this.store.read()).held)) await this.end(reason);
  }

  get #sid(): string | undefined {
    return this.held?.sid ?? this.snapshot.session?.id;
  }

  async #exchange(want: Want, asked: number, epoch: AbortSignal): Promise<void> {
    // Another tab has told of its own, while we waited for ours.
    if (want === 'refresh' && this.rotation !== asked && !this.isDue) return;
    for (let turn = 0; turn < 4; turn++) {
      if (!this.wire.cookie) {
        const { held } = await this.store.read();
        if (epoch.aborted) return;
        if (!held) return this.end('signed_out'); // by another instance
        if (!same(held, this.held)) {
          this.#take(held);
          want = 'status';
        }
      }
      if (epoch.aborted || !this.held) return;
      const sent = this.held;
      const answer = await this.#ask(sent, want, epoch);
      if (epoch.aborted) return;
      const next = await this.#settle(sent, want, answer, epoch);
      if (!next || epoch.aborted) return;
      want = next;
    }
    this.#fail(want, foreign());
  }

  #ask(sent: Held, want: Want, signal: AbortSignal): Promise<Answer> {
    if (!sent.access) {
      const how = this.wire.cookie ? { cookie: true } : { refresh_token: sent.refresh };
      return this.wire.send({ method: 'POST', path: '/sessions/resume', body: { ...how, ...this.wire.device }, signal });
    }
    if (want === 'status') return this.wire.send({ method: 'GET', path: '/sessions/status', token: sent.access, signal });
    const active = (this.#toldActive = this.touched && this.#countsIdle);
    if (active) this.touched = false;
    return this.wire.send({
      method: 'POST', path: '/sessions/refresh', token: sent.access, signal, ...(active && { body: { active: true } }),
    });
  }

  /** Draws the conclusion from an answer. It returns what to ask next, if anything. */
  async #settle(sent: Held, want: Want, answer: Answer, epoch: AbortSignal): Promise<Want | undefined> {
    const at = this.clock.now();
    if (answer.kind === 'refused') return this.#refuse(sent, answer.reason, epoch);
    if (answer.kind === 'error') {
      if (!sent.access && answer.error.isFinal) {
        const { code } = answer.error;
        return void (await this.end(code === 'not_found' ? this.#ranOut : code));
      }
      return this.#fail(want, answer.error);
    }
    const isStatus = want === 'status' && sent.access !== undefined;
    if (isStatus && isTimed(answer.body)) return this.#heardOf(answer.body, answer.body.session, at);
    if (!isStatus && isGrant(answer.body, this.wire.cookie)) return this.#commit(sent, answer.body, at, epoch);
    return this.#fail(want, foreign());
  }

  /** Stores a successor, and only then uses it. */
  async #commit(sent: Held, grant: Grant, at: number, epoch: AbortSignal): Promise<Want | undefined> {
    const next = this.#heldOf(grant, sent);
    let stored: Held | null = next;
    if (!this.wire.cookie) {
      await this.store.write((was) => {
        if (was.held && same(was.held, sent)) return { ...was, held: next };
        stored = was.held?.access === next.access ? next : was.held;
        return was;
      });
    }
    if (epoch.aborted) return undefined;
    if (!stored) return void (await this.end('signed_out'));
    if (stored === next) return this.#got(next, grant, at);
    this.#take(stored); // another instance was faster, or somebody else has signed in
    return 'status';
  }

  async #refuse(sent: Held, reason: string | undefined, epoch: AbortSignal): Promise<Want | undefined> {
    const stored = this.wire.cookie ? this.held : (await this.store.read()).held;
    if (epoch.aborted) return undefined;
    if (stored && !same(stored, sent)) {
      this.#take(stored);
      return 'status';
    }
    const ranOut = reason === 'expired' || reason === 'superseded' || (this.wire.cookie && reason === undefined);
    if (!ranOut || !sent.access || !sent.refresh || !stored) {
      return void (await this.end(stored ? reason ?? 'expired' : 'signed_out'));
    }
    const rest = compact({ access: undefined, refresh: sent.refresh, sid: sent.sid, expiresAt: sent.expiresAt });
    if (!this.wire.cookie) {
      await this.store.write((was) => (same(was.held, sent) ? { ...was, held: rest } : was));
    }
    if (epoch.aborted) return undefined;
    this.#ranOut = reason ?? 'expired';
    this.#take(rest);
    return 'refresh';
  }

  #fail(want: Want, error: SessionError): undefined {
    this.#failures++;
    if (this.#toldActive) this.touched = true; // nobody heard
    this.#toldActive = false;
    const now = this.clock.now();
    const told = error.retryAfter;
    const delay = told !== undefined
      ? toldDelay(told, this.random())
      : retryDelay(this.#failures, now < this.#good ? 30 : 300, this.random());
    if (told !== undefined) this.#notBefore = now + delay;
    this.#stopTimer();
    this.#want = want;
    this.#retrying = true;
    this.#cancelTimer = this.clock.after(delay, () => {
      this.#notBefore = -Infinity;
      void this.sync(want);
    });
    const { session } = this.snapshot;
    this.#publish({ state: 'stale', ...(session && { session }) });
  }

  #got(held: Held, grant: Grant, at: number): undefined {
    this.#take(held);
    this.obtained = at;
    const times = { ...grant, refresh_after: Math.max(grant.refresh_after, leastDue / 1000) };
    this.#heardOf(times, grant.session, at);
    this.around.granted(times, grant.session);
  }

  /** The gateway's word on the session as it is. */
  #heardOf(times: Times, session: Session | undefined, at: number): undefined {
    this.#failures = 0;
    this.#notBefore = -Infinity;
    this.#heard = at;
    this.#heardWall = this.clock.wall();
    this.#good = at + times.expires_in * 1000;
    this.#due = at + times.refresh_after * 1000;
    this.#countsIdle = times.idle_expires_in !== undefined;
    this.#stopTimer();
    const wait = this.#due - this.clock.now();
    if (wait > 0) this.#cancelTimer = this.clock.after(wait, () => void this.sync('refresh'));
    this.#publish({ state: 'active', ...(session && { session }) });
  }

  #take(held: Held): void {
    if (held.access !== this.held?.access) this.rotation++;
    this.held = held;
    this.#due = this.#good = Infinity; // until the gateway says
  }

  #heldOf(grant: Grant, before: Held | null): Held {
    if (this.wire.cookie) {
      this.rotation++;
      return inCookie;
    }
    return compact({
      access: grant.access_token, refresh: grant.refresh_token ?? before?.refresh,
      sid: grant.session.id, expiresAt: grant.session.expires_at,
    });
  }

  /** Nothing that is under way counts any more. */
  #void(): void {
    this.#stopTimer();
    this.#running = null;
    this.#failures = 0;
    this.#notBefore = -Infinity;
    this.#due = this.#good = Infinity;
    this.#epoch.stop.abort();
    this.#epoch = newEpoch();
  }

  #stopTimer(): void {
    this.#cancelTimer();
    this.#cancelTimer = () => undefined;
    this.#retrying = false;
  }

  #publish(next: Snapshot): void {
    const was = this.snapshot;
    if (was.state === next.state && was.reason === next.reason && was.session === next.session) return;
    this.snapshot = next;
    this.around.changed();
  }
}
