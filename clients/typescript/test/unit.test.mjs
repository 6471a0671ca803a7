// What the vectors don't tell: pieces of the library, and what only this one has.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createElement } from 'react';
import { act, create } from 'react-test-renderer';
import { asyncStorage, createSessionClient, memoryStorage, webStorage } from '../dist/index.js';
import { Core } from '../dist/core.js';
import { EventReader } from '../dist/live.js';
import { useSession } from '../dist/react.js';
import { Store } from '../dist/record.js';
import { browserTabs } from '../dist/tabs.js';

const grant = {
  access_token: 't1', token_type: 'Bearer', expires_in: 1800, refresh_after: 1500, server_time: '2026-11-24T12:00:00.000Z',
  session: { id: 's1', user_id: '42', expires_at: '2026-11-24T12:30:00.000Z' },
};
const json = (body, status = 200) => new Response(JSON.stringify(body), { status, headers: { 'Content-Type': 'application/json' } });
const refusal = (reason) => json({ code: 'unauthenticated', ...(reason && { reason }) }, 401);
const turns = async () => { for (let n = 0; n < 20; n++) await new Promise(setImmediate); };

/** A client on answers that a function gives, and what it has asked for. */
function make(answer, options = {}) {
  const asked = [];
  const client = createSessionClient({
    baseUrl: 'https://gateway.test', live: false,
    fetch: async (input, init) => {
      const r = new Request(input, init);
      const call = `${r.method} ${new URL(r.url).pathname}`;
      asked.push({ call, authorization: r.headers.get('Authorization'), credentials: r.credentials, body: await r.text() });
      return answer(call);
    },
    ...options,
  });
  return { client, asked, calls: () => asked.map((a) => a.call) };
}

test('events in pieces, with any line break', () => {
  const text = ': comment\n\nevent: hello\ndata: {"a":1}\n\nevent: ended\r\ndata: {"b":\r\ndata: "é"}\r\n\r\ndata\n\ndata:x\n\n';
  const bytes = new TextEncoder().encode(text);
  for (const size of [1, 2, 3, 7, bytes.length]) {
    const reader = new EventReader();
    const events = [];
    for (let at = 0; at < bytes.length; at += size) events.push(...reader.push(bytes.subarray(at, at + size)));
    assert.deepEqual(events, [
      { name: 'hello', data: '{"a":1}' }, { name: 'ended', data: '{"b":\n"é"}' }, { name: 'message', data: 'x' },
    ], `in pieces of ${size}`);
  }
  assert.throws(() => new EventReader().push(new Uint8Array(100_000).fill(97)));
});

test('a storage that is full, forbidden or locked', async () => {
  let fail = true;
  const inner = memoryStorage();
  const guarded = (f) => (...args) => { if (fail) throw new Error('no'); return f(...args); };
  const store = new Store({ get: guarded(inner.get), set: guarded(inner.set), remove: guarded(inner.remove) });
  await store.write((was) => ({ ...was, held: { access: 't1' } }));
  assert.deepEqual((await store.read()).held, { access: 't1' }); // lives on in memory
  fail = false;
  await store.write((was) => ({ ...was, held: { access: 't2' } }));
  fail = true;
  assert.deepEqual((await store.read()).held, { access: 't2' }); // locked is not empty
});

test('the store is bounded, and believes nothing', async () => {
  const storage = memoryStorage();
  const store = new Store(storage);
  for (let n = 0; n < 9; n++) await store.write((was) => ({ ...was, signedOut: [...was.signedOut, `t${n}`] }));
  assert.deepEqual((await store.read()).signedOut, ['t4', 't5', 't6', 't7', 't8']);
  for (const text of ['', 'null', '[]', '7', '{"v":1}', '{"v":1,"access_token":7,"signed_out":{}}', '{"v":2,"access_token":"x"}']) {
    await storage.set(text);
    assert.deepEqual(await store.read(), { held: null, signedOut: [] }, text);
  }
});

test('storage adapters', async () => {
  const area = new Map();
  const web = webStorage({
    getItem: (k) => area.get(k) ?? null, setItem: (k, v) => void area.set(k, v), removeItem: (k) => void area.delete(k),
  }, 'mine');
  web.set('x');
  assert.equal(area.get('mine'), 'x');
  assert.equal(web.get(), 'x');
  web.remove();
  assert.equal(web.get(), null);
  assert.equal(web.shared, undefined); // not localStorage
  const later = asyncStorage({
    getItem: async (k) => area.get(k) ?? null, setItem: async (k, v) => void area.set(k, v), removeItem: async (k) => void area.delete(k),
  });
  await later.set('y');
  assert.equal(await later.get(), 'y');
  assert.equal(area.get('sessiongate'), 'y');
});

test('cookie mode: no token in sight', async () => {
  const { access_token: _, ...withoutToken } = grant;
  let signedIn = false;
  const { client, asked, calls } = make((call) => {
    if (call === 'POST /sessions/login') signedIn = true;
    if (!signedIn) return refusal();
    return call === 'POST /sessions/logout' ? new Response(null, { status: 204 }) : json({ active: true, ...withoutToken });
  }, { mode: 'cookie' });
  assert.equal((await client.start()).state, 'signed_out');
  assert.deepEqual(calls(), ['GET /sessions/status', 'POST /sessions/resume']);
  await client.login({ identifier: 'ana', password: 'x' });
  assert.deepEqual(JSON.parse(asked.at(-1).body), { identifier: 'ana', password: 'x', cookie: true });
  assert.equal(client.snapshot.state, 'active');
  assert.equal(await client.getAccessToken(), null);
  assert.equal(await client.refresh(), null);
  assert.equal((await client.fetch('https://gateway.test/sessions/status')).status, 200);
  await client.logout();
  assert.deepEqual(calls().slice(-3), ['POST /sessions/refresh', 'GET /sessions/status', 'POST /sessions/logout']);
  for (const a of asked) assert.deepEqual([a.authorization, a.credentials], [null, 'include'], a.call);
  client.stop();
});

test('cookie mode: signed out while offline, then signed in again', async () => {
  let offline = false;
  const { client, calls } = make((call) => {
    if (offline) throw new TypeError('offline');
    return call === 'POST /sessions/logout' ? new Response(null, { status: 204 }) : json({ active: true, ...grant });
  }, { mode: 'cookie' });
  await client.start();
  offline = true;
  await client.logout();
  offline = false;
  await client.login({ identifier: 'ana', password: 'x' });
  await client.online();
  await turns();
  // The sign-out that waited would have been the new session's: it has the cookie now.
  assert.equal(calls().filter((c) => c === 'POST /sessions/logout').length, 1);
  assert.equal(client.snapshot.state, 'active');
  client.stop();
});

test('a login that is over before its answer', async () => {
  let answer;
  const { client, calls } = make((call) => (call === 'POST /sessions/login' ? new Promise((done) => (answer = done)) : new Response(null, { status: 204 })));
  await client.start();
  const login = client.login({ identifier: 'ana', password: 'x' });
  await turns();
  await client.logout();
  answer(json(grant, 201));
  await assert.rejects(login, { code: 'signed_out' });
  await turns();
  assert.equal(client.snapshot.state, 'signed_out');
  assert.equal(calls().at(-1), 'POST /sessions/logout'); // the session that nobody wants any more
});

test('requests: bodies that can be sent twice, and those that can not', async () => {
  for (const [what, init, again] of [
    ['text', { method: 'POST', body: 'x' }, true],
    ['a form', { method: 'POST', body: new URLSearchParams({ a: '1' }) }, true],
    ['a stream', { method: 'POST', body: new Blob(['x']).stream(), duplex: 'half' }, false],
  ]) {
    const { client, calls } = make((call) => (call.endsWith('/api') ? json({}, 401) : json({ ...grant, access_token: `t${Math.random()}` })), {
      storage: { get: () => '{"v":1,"access_token":"t0"}', set() {}, remove() {} },
    });
    await client.start();
    await client.fetch('https://gateway.test/api', init);
    assert.equal(calls().filter((c) => c === 'POST /api').length, again ? 2 : 1, what);
    client.stop();
  }
  const { client, asked } = make(() => json({ active: true, ...grant }), { storage: { get: () => '{"v":1,"access_token":"t0"}', set() {}, remove() {} } });
  await client.fetch('https://gateway.test.evil.example/');
  await client.fetch('https://gateway.test@evil.example/').catch(() => undefined); // fetch refuses it
  await client.fetch('http://gateway.test/');
  await client.fetch('https://gateway.test/own', { headers: { Authorization: 'Basic x' } });
  assert.deepEqual(asked.map((a) => a.authorization).filter((a) => a !== null && a !== 'Basic x'), []);
  client.stop();
});

test('a lock that another tab never gives back', async () => {
  const locks = { request: (_, { signal }) => new Promise((_done, fail) => signal.addEventListener('abort', () => fail(signal.reason))) };
  const navigatorWas = Object.getOwnPropertyDescriptor(globalThis, 'navigator');
  Object.defineProperty(globalThis, 'navigator', { value: { locks }, configurable: true });
  const timers = [];
  const clock = { now: () => 0, wall: () => 0, after: (ms, run) => (timers.push({ ms, run }), () => undefined) };
  const tabs = browserTabs('test', clock, () => undefined);
  try {
    let ran = 0;
    const alone = tabs.alone(async () => void ran++, new AbortController().signal);
    await turns();
    assert.deepEqual([ran, timers[0].ms], [0, 5000]);
    timers[0].run();
    await alone;
    assert.equal(ran, 1); // without the lock
    const stop = new AbortController();
    const unwanted = tabs.alone(async () => void ran++, stop.signal);
    stop.abort();
    await unwanted;
    assert.equal(ran, 1);
  } finally {
    tabs.close();
    if (navigatorWas) Object.defineProperty(globalThis, 'navigator', navigatorWas);
    else delete globalThis.navigator;
  }
});

test('a message that overtakes what another tab has written', async () => {
  const storage = memoryStorage();
  const clock = { now: () => 0, wall: () => 0, after: (ms, run) => (timers.push({ ms, run }), () => undefined) };
  const timers = [];
  const wire = { cookie: false, send: async ({ path, token }) => ({ kind: 'ok', body: { ...grant, path, token } }) };
  const around = { changed() {}, granted() {}, ended() {}, alone: (run) => run() };
  const core = new Core(wire, new Store(storage), clock, () => 0.5, around);
  await core.begin();
  assert.equal(core.snapshot.state, 'signed_out');
  const adopted = core.adopt(grant, 's1', grant.session.expires_at);
  await turns();
  assert.equal(timers[0].ms, 10);
  storage.set(JSON.stringify({ v: 1, access_token: 't1', session_id: 's1', expires_at: grant.session.expires_at }));
  timers[0].run();
  await adopted;
  assert.deepEqual([core.snapshot.state, core.held.access], ['active', 't1']);
});

test('useSession: a component follows the session', async () => {
  globalThis.IS_REACT_ACT_ENVIRONMENT = true;
  const { client } = make((call) => (call === 'POST /sessions/logout' ? new Response(null, { status: 204 }) : json(grant, 201)));
  let renders = 0;
  const Page = () => {
    renders++;
    const { state, reason } = useSession(client);
    return createElement('p', null, `${state} ${reason ?? ''}`);
  };
  let root;
  await act(async () => { root = create(createElement(Page)); await turns(); });
  assert.deepEqual(root.toJSON().children, ['signed_out ']);
  await act(() => client.login({ identifier: 'ana', password: 'x' }));
  assert.deepEqual(root.toJSON().children, ['active ']);
  await act(() => client.logout());
  assert.deepEqual(root.toJSON().children, ['signed_out signed_out']);
  const before = renders;
  await act(() => root.unmount());
  await client.login({ identifier: 'ana', password: 'x' });
  assert.equal(renders, before);
  client.stop();
});

test('timers do not keep a program running', async () => {
  const { spawnSync } = await import('node:child_process');
  const program = `
    import { createSessionClient } from ${JSON.stringify(new URL('../dist/index.js', import.meta.url).href)};
    const c = createSessionClient({ baseUrl: 'https://gateway.test', live: false, fetch: async () => new Response(${JSON.stringify(JSON.stringify(grant))}) });
    await c.login({ identifier: 'ana', password: 'x' });
    console.log(c.snapshot.state);`;
  const { stdout, status } = spawnSync(process.execPath, ['--input-type=module', '-e', program], { timeout: 20_000, encoding: 'utf8' });
  assert.deepEqual([stdout, status], ['active\n', 0]);
});
