import { retryDelay, toldDelay } from './clock.js';
import type { Store } from './record.js';
import type { Clock } from './types.js';
import type { Wire } from './wire.js';

/**
 * Farewell tells the gateway of sign-outs, until it has heard of them. The tokens
 * wait in the store, so that the next start goes on.
 */
export class Farewell {
  #failures = 0;
  #running: Promise<void> | null = null;
  #cancelTimer = (): void => undefined;
  #stopped = false;

  constructor(
    private readonly wire: Wire,
    private readonly store: Store,
    private readonly clock: Clock,
    private readonly random: () => number,
  ) {}

  /** Makes an attempt; the result is there when it is over, whatever came of it. */
  send(): Promise<void> {
    this.#stopped = false;
    return (this.#running ??= this.#send().finally(() => (this.#running = null)));
  }

  stop(): void {
    this.#stopped = true;
    this.#cancelTimer();
  }

  async #send(): Promise<void> {
    this.#cancelTimer();
    for (;;) {
      const token = (await this.store.read()).signedOut[0];
      if (token === undefined || this.#stopped) return;
      const a = await this.wire.send({ method: 'POST', path: '/sessions/logout', token });
      if (this.#stopped) return;
      if (a.kind === 'error') {
        this.#failures++;
        const told = a.error.retryAfter;
        const delay = told === undefined
          ? retryDelay(this.#failures, 300, this.random())
          : toldDelay(told, this.random());
        this.#cancelTimer = this.clock.after(delay, () => void this.send());
        return;
      }
      this.#failures = 0;
      await this.store.write((was) => ({ ...was, signedOut: was.signedOut.filter((t) => t !== token) }));
    }
  }
}
