// A real gateway with stores of its own, and the web server of an application in
// front of it: its pages, this library, and the gateway below /auth.
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const patience = 60_000; // ms; the machine may be busy

/** Starts `sessiongate dev`, with more settings if need be. */
export async function startGateway(settings = {}) {
  const binary = process.env.SESSIONGATE_BINARY ?? new URL('../../../bin/sessiongate', import.meta.url).pathname;
  const dir = await mkdtemp(join(tmpdir(), 'sessiongate-client-'));
  const output = [];
  const child = spawn(binary, ['dev'], {
    cwd: dir,
    env: {
      PATH: process.env.PATH, HOME: dir, TMPDIR: tmpdir(), SESSIONGATE_DATA_DIR: dir, SESSIONGATE_HTTP_ADDR: '127.0.0.1:0',
      SESSIONGATE_REDIS_TIMEOUT: '3s', ...settings,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  for (const s of [child.stdout, child.stderr]) s.on('data', (b) => output.push(b));
  let ended = null;
  const end = new Promise((done) => child.on('error', (e) => output.push(e.message)).on('close', (code) => done((ended = code ?? -1))));
  const file = join(dir, 'dev.env');
  await until('the gateway', () => {
    if (ended !== null) throw new Error(`the gateway ended with ${ended}:\n${output.join('')}`);
    return existsSync(file);
  });
  const variables = Object.fromEntries(readFileSync(file, 'utf8').trim().split('\n').map((line) => {
    const at = line.indexOf('=');
    return [line.slice(0, at), line.slice(at + 1).replace(/^'(.*)'$/s, '$1').replaceAll(`'\\''`, `'`)];
  }));
  await until('a gateway that is ready', async () => (await (await fetch(`${variables.SESSIONGATE_URL}/readyz`)).json()).status === 'ready');
  const url = variables.SESSIONGATE_URL;
  const credentials = { identifier: variables.DEMO_USER, password: variables.DEMO_PASSWORD };
  const login = async (more) => (await fetch(`${url}/sessions/login`, {
    method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ ...credentials, ...more }),
  })).status === 201;
  return {
    url,
    credentials,
    /** What it offers: gateways may be older than the library. */
    offers: {
      live: (await fetch(`${url}/sessions/events`)).status !== 404,
      cookie: await login({ cookie: true }),
      remember: await login({ remember: true }),
    },
    async stop() {
      child.kill('SIGTERM');
      await end;
      await rm(dir, { recursive: true, force: true });
    },
  };
}

/** Waits until something is so. */
export async function until(what, check) {
  for (const begun = Date.now(); ; ) {
    const got = await check();
    if (got) return got;
    if (Date.now() - begun > patience) throw new Error(`still waiting for ${what}`);
    await new Promise((done) => setTimeout(done, 10));
  }
}

const types = { html: 'text/html', js: 'text/javascript', mjs: 'text/javascript', json: 'application/json' };

/** Serves files below roots, {"/path/": URL}, and the gateway below /auth/. */
export async function serveApplication(gatewayUrl, roots) {
  const seen = [];
  const server = createServer(async (req, res) => {
    if (req.url.startsWith('/auth/')) {
      seen.push(`${req.method} ${req.url.slice('/auth'.length)}`);
      const up = request(gatewayUrl + req.url.slice('/auth'.length), { method: req.method, headers: req.headers }, (answer) => {
        res.writeHead(answer.statusCode, answer.headers);
        res.flushHeaders();
        answer.pipe(res);
      });
      up.on('error', () => res.destroy());
      res.on('close', () => up.destroy());
      return void req.pipe(up);
    }
    const { pathname } = new URL(req.url, 'http://localhost');
    const root = Object.keys(roots).find((r) => pathname.startsWith(r));
    try {
      const body = await readFile(new URL('.' + pathname.slice(root.length - 1), roots[root]));
      res.writeHead(200, { 'Content-Type': types[pathname.split('.').pop()] ?? 'application/octet-stream' }).end(body);
    } catch {
      res.writeHead(404).end();
    }
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  return {
    url: `http://localhost:${server.address().port}`,
    /** "METHOD /path" of what the gateway was asked, oldest first. */
    seen,
    count: (what) => seen.filter((s) => s === what).length,
    async stop() {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
}
