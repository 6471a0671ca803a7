import type { Clock } from './types.js';

/** The longest that setTimeout can wait; it takes more for none at all. */
const longest = 2 ** 31 - 1;

/** The system's clocks. Its timers don't keep a program of Node.js running. */
export const systemClock: Clock = {
  now: () => performance.now(),
  wall: () => Date.now(),
  after(ms, run) {
    const timer: unknown = setTimeout(run, Math.min(ms, longest));
    (timer as { unref?: () => void }).unref?.();
    return () => clearTimeout(timer as number);
  },
};

/** How long to wait before the next try after so many failures in a row, in ms. */
export function retryDelay(failures: number, longestSeconds: number, random: number): number {
  const most = Math.min(0.5 * 2 ** (failures - 1), longestSeconds);
  return 1000 * most * (0.5 + random / 2);
}

/** How long to wait when told to for so many seconds: not everybody should be back at once. */
export const toldDelay = (seconds: number, random: number): number => 1000 * seconds * (1 + random / 2);
