export { createSessionClient, SessionClient } from './client.js';
export { SessionError } from './errors.js';
export { asyncStorage, memoryStorage, webStorage } from './storage.js';
export type { AsyncStorageArea, WebStorageArea } from './storage.js';
export type * from './types.js';
