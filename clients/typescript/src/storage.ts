import type { Storage } from './types.js';

/** The name under which adapters keep the session, unless told another. */
const defaultKey = 'sessiongate';

/** Keeps the session for as long as the page or the program lives. The default. */
export function memoryStorage(): Storage {
  let held: string | null = null;
  return { get: () => held, set: (text) => void (held = text), remove: () => void (held = null) };
}

/**
 * Keeps the session in `localStorage`, where all tabs share it, or in
 * `sessionStorage`. Any script of the origin can read it there: prefer cookie mode
 * on the web.
 */
export function webStorage(area: WebStorageArea = localStorage, key = defaultKey): Storage {
  const shared = typeof localStorage !== 'undefined' && area === localStorage;
  return {
    get: () => area.getItem(key),
    set: (text) => area.setItem(key, text),
    remove: () => area.removeItem(key),
    ...(shared && { shared: key }),
  };
}

/** What `webStorage` needs of `localStorage`. */
export interface WebStorageArea {
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
  removeItem(key: string): void;
}

/**
 * Keeps the session in a store of React Native's kind: AsyncStorage as it is, or a
 * secure one. For expo-secure-store:
 *
 *     asyncStorage({ getItem: getItemAsync, setItem: setItemAsync, removeItem: deleteItemAsync })
 */
export function asyncStorage(area: AsyncStorageArea, key = defaultKey): Storage {
  return {
    get: () => area.getItem(key),
    set: (text) => area.setItem(key, text),
    remove: () => area.removeItem(key),
  };
}

/** What `asyncStorage` needs of AsyncStorage. */
export interface AsyncStorageArea {
  getItem(key: string): Promise<string | null>;
  setItem(key: string, value: string): Promise<void>;
  removeItem(key: string): Promise<void>;
}
