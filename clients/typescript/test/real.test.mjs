// The library against the real gateway: in Node.js, and in two tabs of a real
// Chromium. All times here are real.
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import playwright from 'playwright-core';
import { createSessionClient, memoryStorage, SessionError } from '../dist/index.js';
import { serveApplication, startGateway, until } from './gateway.mjs';

const here = new URL('.', import.meta.url);
const contract = new URL('../../contract/', here);
let gateway, application, browser;

before(async () => {
  gateway = await startGateway({
    SESSIONGATE_SESSIONS_TTL: '90s', SESSIONGATE_SESSIONS_REFRESH_AFTER: '12s', SESSIONGATE_SESSIONS_REFRESH_JITTER: '0.1',
    SESSIONGATE_TOKENS_LEEWAY: '1s',
  });
  application = await serveApplication(gateway.url, { '/dist/': new URL('../dist/', here), '/test/': here, '/contract/': contract });
  const executablePath = process.env.CHROMIUM ?? ['/usr/bin/chromium', '/usr/bin/chromium-browser',
    '/Applications/Chromium.app/Contents/MacOS/Chromium', '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome'].find((p) => existsSync(p));
  assert.ok(executablePath, 'there is no Chromium; make deps-test installs one');
  browser = await playwright.chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-dev-shm-usage'] });
});

after(async () => {
  await browser?.close();
  await application?.stop();
  await gateway?.stop();
});

const node = (more = {}) => createSessionClient({ baseUrl: gateway.url, storage: memoryStorage(), device: { name: 'a test' }, ...more });

/** A tab that has started its client. */
async function openTab(context, mode = 'token') {
  const page = await context.newPage();
  page.faults = [];
  page.on('pageerror', (e) => page.faults.push(e.message));
  await page.goto(`${application.url}/test/page.html?mode=${mode}`);
  await page.waitForFunction(() => window.ready);
  await page.evaluate(() => window.ready);
  return page;
}
const stateOf = (page) => page.evaluate(() => window.client.snapshot.state);
const tokenOf = (page) => page.evaluate(() => window.client.getAccessToken());

test('Node.js: the whole life of a session', async () => {
  const client = node();
  assert.equal((await client.start()).state, 'signed_out');
  await assert.rejects(client.login({ ...gateway.credentials, password: 'wrong' }), (e) => {
    assert.ok(e instanceof SessionError);
    assert.deepEqual([e.code, e.status], ['invalid_credentials', 401]);
    assert.ok(e.requestId);
    return true;
  });
  assert.equal((await client.login(gateway.credentials)).state, 'active');
  const first = await client.getAccessToken();
  const second = await client.refresh();
  assert.notEqual(second, first);
  const status = await client.status();
  assert.equal(status.session.id, client.snapshot.session.id);
  const { sessions } = await client.sessions({ state: 'active', limit: 10 });
  assert.ok(sessions.some((s) => s.current && s.device_info === 'a test'));
  const { logs } = await client.logs({ limit: 5 });
  assert.ok(Array.isArray(logs));
  const other = node({ live: false });
  await other.login(gateway.credentials);
  await client.endSession(other.snapshot.session.id);
  await assert.rejects(other.status(), (e) => e.reason === 'logged_out_or_revoked');
  assert.deepEqual(other.snapshot, { state: 'signed_out', reason: 'logged_out_or_revoked' });
  assert.equal((await client.fetch(`${gateway.url}/sessions/status`)).status, 200);
  await client.logout();
  assert.equal((await fetch(`${gateway.url}/sessions/status`, { headers: { Authorization: `Bearer ${second}` } })).status, 401);
});

test('Node.js: fifty callers after a lost answer', async () => {
  const storage = memoryStorage();
  let lose = true;
  const client = node({
    storage,
    fetch: async (...args) => {
      const r = await fetch(...args);
      if (String(args[0]).endsWith('/sessions/refresh') && lose) {
        lose = false;
        throw new TypeError('the answer was lost');
      }
      return r;
    },
  });
  await client.login(gateway.credentials);
  const first = await client.getAccessToken();
  await client.refresh();
  assert.equal(client.snapshot.state, 'stale');
  await until('the retry', () => client.snapshot.state === 'active');
  const tokens = new Set(await Promise.all(Array.from({ length: 50 }, () => client.getAccessToken())));
  assert.equal(tokens.size, 1);
  assert.ok(!tokens.has(first));
  assert.equal((await client.status()).active, true);
  await client.logout();
});

test('Chromium: all vectors', async () => {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(`${application.url}/test/page.html`);
  const names = ['clocks', 'instances', 'live', 'offline', 'refresh', 'remember', 'requests', 'sign_out', 'start'];
  const failed = await page.evaluate(async (names) => {
    const { runVector } = await import('/test/harness.mjs');
    const { createSessionClient } = await import('/dist/index.js');
    const read = async (name) => (await fetch(`/contract/${name}.json`)).json();
    const { answers } = await read('answers');
    const failed = [];
    let run = 0;
    for (const name of names) {
      for (const vector of (await read(name)).vectors) {
        run++;
        await runVector(vector, answers, createSessionClient).catch((e) => failed.push(`${vector.name}: ${e.message}`));
      }
    }
    return run < 90 ? ['too few vectors'] : failed;
  }, names);
  assert.deepEqual(failed, []);
  await context.close();
});

test('Chromium: two tabs share one session', async (t) => {
  const context = await browser.newContext();
  const [one, two] = [await openTab(context), await openTab(context)];
  assert.equal(await stateOf(two), 'signed_out');
  await one.evaluate((c) => window.client.login(c), gateway.credentials);
  // A tab that was open before the sign-in, and one that comes later.
  await two.waitForFunction(() => window.client.snapshot.state === 'active');
  const three = await openTab(context);
  assert.equal(await stateOf(three), 'active');
  let before, asked;
  do { // again, if one refreshes meanwhile
    asked = application.count('POST /sessions/refresh');
    before = await tokenOf(one);
    assert.deepEqual([await tokenOf(two), await tokenOf(three)], [before, before]);
  } while (application.count('POST /sessions/refresh') !== asked);

  // One of them refreshes, by its own timer, and the others take over.
  for (const page of [one, two, three]) await until('another token', async () => (await tokenOf(page)) !== before);
  const now = await tokenOf(one);
  assert.deepEqual([await tokenOf(two), await tokenOf(three)], [now, now]);
  assert.equal(application.count('POST /sessions/refresh') - asked, 1, 'refreshes for three tabs');

  // All at once: the lock keeps them in turn, and who comes later finds the new token.
  const all = await Promise.all([one, two, three].map((p) => p.evaluate(() => window.client.refresh())));
  assert.equal(new Set(all).size <= 3, true);
  assert.equal(await tokenOf(one), await tokenOf(two));
  for (const page of [one, two, three]) assert.equal(await stateOf(page), 'active');

  await two.reload();
  await two.evaluate(() => window.ready);
  assert.equal(await stateOf(two), 'active');

  const begun = Date.now();
  await one.evaluate(() => window.client.logout());
  await three.waitForFunction(() => window.client.snapshot.state === 'signed_out');
  await two.waitForFunction(() => window.client.snapshot.state === 'signed_out');
  t.diagnostic(`signed out of three tabs in ${Date.now() - begun} ms`);
  assert.equal(await one.evaluate(() => localStorage.getItem('sessiongate')), null);
  for (const page of [one, two, three]) assert.deepEqual(page.faults, []);
  await context.close();
});

test('Chromium: a tab without Web Locks and BroadcastChannel', async () => {
  const context = await browser.newContext();
  await context.addInitScript(() => {
    delete globalThis.BroadcastChannel;
    Object.defineProperty(Navigator.prototype, 'locks', { value: undefined });
  });
  const [one, two] = [await openTab(context), await openTab(context)];
  await one.evaluate((c) => window.client.login(c), gateway.credentials);
  await two.reload();
  await two.evaluate(() => window.ready);
  // Both refresh at the same moment: the gateway has the same successor for both.
  await Promise.all([one, two].map((p) => p.evaluate(() => window.client.refresh())));
  assert.equal(await tokenOf(one), await tokenOf(two));
  for (const page of [one, two]) assert.equal(await stateOf(page), 'active');
  await context.close();
});

test('Chromium: offline and back', async () => {
  const context = await browser.newContext();
  const page = await openTab(context);
  await page.evaluate((c) => window.client.login(c), gateway.credentials);
  await context.setOffline(true);
  await page.evaluate(() => window.client.refresh());
  assert.equal(await stateOf(page), 'stale');
  assert.ok(await tokenOf(page));
  await context.setOffline(false); // the browser tells the client
  await page.waitForFunction(() => window.client.snapshot.state === 'active');
  await page.evaluate(() => window.client.logout());
  await context.close();
});

test('Chromium: cookie mode', async () => {
  const context = await browser.newContext();
  const [one, two] = [await openTab(context, 'cookie'), await openTab(context, 'cookie')];
  assert.equal(await stateOf(one), 'signed_out');
  if (!gateway.offers.cookie) {
    // A gateway without it refuses, and no token ends up anywhere by mistake.
    const code = await one.evaluate((c) => window.client.login(c).then(() => 'signed in', (e) => e.code), gateway.credentials);
    assert.equal(code, 'invalid_request');
    return context.close();
  }
  await one.evaluate((c) => window.client.login(c), gateway.credentials);
  await two.waitForFunction(() => window.client.snapshot.state === 'active');
  assert.equal(await one.evaluate(() => document.cookie + localStorage.length), '0');
  assert.equal(await tokenOf(one), null);
  await two.evaluate(() => window.client.refresh());
  assert.equal(await one.evaluate(async () => (await window.client.fetch('/auth/sessions/status')).status), 200);
  await two.reload();
  await two.evaluate(() => window.ready);
  assert.equal(await stateOf(two), 'active');
  await one.evaluate(() => window.client.logout());
  await two.waitForFunction(() => window.client.snapshot.state === 'signed_out');
  await two.reload();
  await two.evaluate(() => window.ready);
  assert.equal(await stateOf(two), 'signed_out');
  await context.close();
});

test('a device that is remembered', async () => {
  const storage = memoryStorage();
  const client = node({ storage });
  await client.start();
  if (!gateway.offers.remember) {
    await assert.rejects(client.login({ ...gateway.credentials, remember: true }), { code: 'invalid_request' });
    return;
  }
  await client.login({ ...gateway.credentials, remember: true });
  const first = client.snapshot.session.id;
  client.stop();
  // Days later: the token is long over, and what is left is the refresh token.
  const { access_token: _, ...rest } = JSON.parse(storage.get());
  storage.set(JSON.stringify(rest));
  const later = node({ storage });
  assert.equal((await later.start()).state, 'active');
  assert.notEqual(later.snapshot.session.id, first);
  assert.equal((await later.status()).active, true);
  await later.logout();
  assert.equal((await node({ storage }).start()).state, 'signed_out');
});

test('signed out everywhere', async (t) => {
  const { live } = gateway.offers;
  const context = await browser.newContext();
  const [one, two] = [await openTab(context), await openTab(context)];
  await one.evaluate((c) => window.client.login(c), gateway.credentials);
  await two.waitForFunction(() => window.client.snapshot.state === 'active');
  const phone = node(), here = node();
  await phone.login(gateway.credentials);
  await here.login(gateway.credentials);
  if (live) await until('the streams', () => application.count('GET /sessions/events') > 0);
  const begun = Date.now();
  let phoneAt = 0;
  phone.subscribe((s) => s.state === 'signed_out' && (phoneAt = Date.now()));
  assert.ok((await here.logoutAll()) >= 3);
  if (!live) {
    // Without the stream, they find out when they ask.
    await phone.refresh();
    await one.evaluate(() => window.client.refresh());
  }
  await until('the phone', () => phone.snapshot.state === 'signed_out');
  for (const page of [one, two]) await page.waitForFunction(() => window.client.snapshot.state === 'signed_out');
  const [a, b] = await Promise.all([one, two].map((p) => p.evaluate(() => window.states.at(-1).at)));
  t.diagnostic(`from logout-all to sign-out (${live ? 'live' : 'when asked'}), from the call on: Node.js ${phoneAt - begun} ms, tabs ${a - begun} and ${b - begun} ms`);
  assert.deepEqual(phone.snapshot.reason, live ? 'logout_all' : 'logged_out_or_revoked');
  await context.close();
});

test('the package has what it promises', () => {
  const { exports } = JSON.parse(readFileSync(new URL('../package.json', here)));
  for (const entry of [exports['.'], exports['./react']]) for (const file of Object.values(entry)) assert.ok(existsSync(new URL('../' + file, here)), file);
});
