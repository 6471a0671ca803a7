import { useEffect, useSyncExternalStore } from 'react';
import type { SessionClient } from './client.js';
import type { Snapshot } from './types.js';

/**
 * The session, in a component that is rendered again when it changes.
 *
 *     const { state, session } = useSession(client);
 *
 * The first component to use it starts the client.
 */
export function useSession(client: SessionClient): Snapshot {
  useEffect(() => void client.start(), [client]);
  return useSyncExternalStore(client.subscribe, () => client.snapshot, () => unknown);
}

/** On a server nobody is signed in yet. */
const unknown: Snapshot = { state: 'unknown' };
