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
  #notBefore = -Infinity;

  constructor(
    private readonly wire: Wire,
    private readonly store: Store,
    private readonly clock: Clock,
    private readonly random: () => number,
  ) {}

  /** Makes an attempt, if one may be made; it is over when the result is there, whatever came of it. */
  send(): Promise<void> {
    this.#stopped = false;
    if (this.clock.now() < this.#notBefore) return Promise.resolve();
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
        if (told !== undefined) this.#notBefore = this.clock.now() + delay;
        this.#cancelTimer = this.clock.after(delay, () => {
          this.#notBefore = -Infinity;
          void this.send();
        });
        return;
      }
      this.#failures = 0;
      await this.store.write((was) => ({ ...was, signedOut: was.signedOut.filter((t) => t !== token) }));
    }
  }
}
