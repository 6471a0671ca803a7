// Puts a client through the vectors of clients/contract, whose README says how. It
// uses nothing but what browsers and Node.js both have.

const base = 'https://gateway.test';

/** Runs one vector; throws what is wrong. */
export async function runVector(vector, answers, createSessionClient) {
  const world = new World(vector.given, answers, createSessionClient);
  for (const [n, step] of vector.steps.entries()) {
    try {
      await world.step(step);
    } catch (e) {
      throw new Error(`step ${n + 1}, ${JSON.stringify(step)}: ${e.message}`);
    }
  }
  world.noCalls();
  for (const i of world.instances.values()) i.client.stop();
}

const settle = async () => {
  for (let n = 0; n < 15; n++) await turn();
};

/** Lets everything run that is ready to. */
const turn = globalThis.setImmediate
  ? () => new Promise((done) => setImmediate(done))
  : () => new Promise((done) => {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = () => (port1.close(), done());
      port2.postMessage(0);
    });

const never = () => new Promise(() => {});

class World {
  now = 5_000; // ms; not 0, which a client might take for "not yet"
  timers = [];
  calls = [];
  named = new Map();
  results = new Map();
  instances = new Map();
  text = null;
  writesHeld = null;
  answering = null;

  constructor(given, answers, create) {
    this.answers = answers;
    this.create = create;
    this.options = given.options ?? {};
    this.wall = Date.parse('2026-11-24T12:00:00Z') + 1000 * (given.wall_offset ?? 0) - this.now;
    if (typeof given.stored === 'string') this.text = given.stored;
    else if (given.stored) this.text = JSON.stringify({ v: 1, ...given.stored });
  }

  async step(step) {
    const [kind] = ['do', 'call', 'answer_to', 'no_calls', 'advance', 'wall', 'kill', 'hold_writes', 'store', 'event',
      'heartbeat', 'close', 'closed', 'expect'].filter((k) => k in step);
    if (!kind) throw new Error('the runner does not know this step');
    await this[`step_${kind}`](step);
    await settle();
    this.answerAll();
    await settle();
  }

  instance(name) {
    if (this.instances.has(name)) return this.instances.get(name);
    const i = { name, dead: false };
    const world = this;
    const alive = (v) => (i.dead ? never() : v);
    i.client = this.create({
      baseUrl: base,
      environment: false,
      live: this.options.live === true,
      random: () => 0.5,
      storage: {
        get: async () => alive(world.text),
        set: async (text) => {
          while (world.writesHeld) await world.writesHeld.over;
          if (i.dead) return never();
          world.text = text;
        },
        remove: async () => {
          while (world.writesHeld) await world.writesHeld.over;
          if (i.dead) return never();
          world.text = null;
        },
      },
      clock: {
        now: () => this.now,
        wall: () => this.now + this.wall,
        after(ms, run) {
          const timer = { at: world.now + ms, run, of: i };
          world.timers.push(timer);
          return () => void (world.timers = world.timers.filter((t) => t !== timer));
        },
      },
      fetch: (input, init) => this.fetch(i, input, init),
    });
    this.instances.set(name, i);
    return i;
  }

  async fetch(i, input, init = {}) {
    const request = new Request(input, { ...init, signal: undefined });
    const signal = init.signal ?? (input instanceof Request ? input.signal : undefined);
    const url = new URL(request.url);
    const call = {
      client: i.name,
      method: request.method,
      path: url.origin === base ? url.pathname + url.search : url.href,
      authorization: request.headers.get('Authorization'),
      body: (await request.text()) || undefined,
      signal,
    };
    return new Promise((resolve, reject) => {
      call.resolve = (r) => i.dead || resolve(r);
      call.reject = (e) => i.dead || reject(e);
      signal?.addEventListener('abort', () => call.reject(new DOMException('aborted', 'AbortError')));
      this.calls.push(call);
    });
  }

  answer(call, name) {
    const a = this.answers[name];
    if (!a) throw new Error(`answers.json does not have ${name}`);
    call.answered = true;
    if (a.network) return call.reject(new TypeError('no network'));
    let body = a.body ? JSON.stringify(a.body) : a.text ?? null;
    if (a.stream) {
      body = new ReadableStream({ start: (c) => void (call.stream = c), cancel: () => void (call.closed = true) });
      call.signal?.addEventListener('abort', () => {
        call.closed = true;
        try {
          call.stream.error(new DOMException('aborted', 'AbortError'));
        } catch {
          // It had ended.
        }
      });
    }
    call.resolve(new Response(body, { status: a.status, headers: a.headers }));
  }

  answerAll() {
    if (this.answering) for (const call of this.calls.splice(0)) this.answer(call, this.answering);
  }

  step_do({ do: op, client, as, times = 1, with: w = {} }) {
    const { client: c } = this.instance(client);
    const run = {
      start: async () => (await c.start()).state,
      stop: async () => c.stop(),
      token: () => c.getAccessToken(),
      refresh: () => c.refresh(),
      login: () => c.login(w),
      accept: () => c.accept(this.answers[w.grant].body),
      logout: () => c.logout(),
      logout_all: () => c.logoutAll({ exceptCurrent: w.except_current === true }),
      request: async () => (await c.fetch(w.url ?? base + w.path, { method: w.method })).status,
      resume: () => c.resume(),
      online: () => c.online(),
      touch: async () => c.touch(),
    }[op];
    const results = Array.from({ length: times }, () => {
      const r = { pending: true };
      run().then((value) => Object.assign(r, { pending: false, value }), (error) => Object.assign(r, { pending: false, error }));
      return r;
    });
    if (as) this.results.set(as, results);
  }

  step_call({ call: want, answer }) {
    const authorization = want.token === undefined ? null : `Bearer ${want.token}`;
    const at = this.calls.findIndex((c) => c.client === want.client && c.method === want.method && c.path === want.path &&
      c.authorization === authorization);
    if (at < 0) throw new Error(`no such request; there are ${JSON.stringify(this.open())}`);
    const [call] = this.calls.splice(at, 1);
    if (want.body !== undefined) same(call.body === undefined ? undefined : JSON.parse(call.body), want.body, 'body');
    else if (want.path === '/sessions/refresh') same(call.body, undefined, 'body');
    if (want.as) this.named.set(want.as, call);
    if (answer) this.answer(call, answer);
  }

  step_answer_to({ answer_to, answer }) {
    this.answer(this.named.get(answer_to), answer);
  }

  step_no_calls() {
    this.noCalls();
  }

  open() {
    return this.calls.map(({ client, method, path, authorization, body }) => ({ client, method, path, authorization, body }));
  }

  noCalls() {
    if (this.calls.length > 0) throw new Error(`there are requests: ${JSON.stringify(this.open())}`);
  }

  async step_advance({ advance, answering }) {
    const until = this.now + advance * 1000;
    this.answering = answering ?? null;
    for (;;) {
      const due = this.timers.filter((t) => t.at <= until + 1e-6).sort((a, b) => a.at - b.at)[0];
      if (!due) break;
      this.now = Math.max(this.now, due.at);
      this.timers = this.timers.filter((t) => t !== due);
      if (!due.of.dead) due.run();
      await settle();
      this.answerAll();
      await settle();
    }
    this.now = until;
    this.answering = null;
  }

  step_wall({ wall }) {
    this.wall += wall * 1000;
  }

  step_kill({ kill }) {
    this.instance(kill).dead = true;
    this.timers = this.timers.filter((t) => t.of.name !== kill);
  }

  step_hold_writes({ hold_writes }) {
    if (hold_writes) {
      let release;
      const over = new Promise((done) => (release = done));
      this.writesHeld = { over, release };
    } else {
      const held = this.writesHeld;
      this.writesHeld = null;
      held?.release();
    }
  }

  step_store({ store }) {
    this.text = JSON.stringify({ v: 1, ...store });
  }

  send(name, text) {
    this.named.get(name).stream.enqueue(new TextEncoder().encode(text));
  }

  step_event({ event, on, data }) {
    this.send(on, `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
  }

  step_heartbeat({ heartbeat }) {
    this.send(heartbeat, ': heartbeat\n\n');
  }

  step_close({ close }) {
    this.named.get(close).stream.close();
  }

  step_closed({ closed }) {
    if (!this.named.get(closed).closed) throw new Error('the stream is open');
  }

  step_expect({ expect: want }) {
    const { snapshot } = this.instance(want.client).client;
    if ('state' in want) same(snapshot.state, want.state, 'state');
    if ('reason' in want) same(snapshot.reason, want.reason, 'reason');
    if ('session' in want) same(snapshot.session?.id, want.session, 'session');
    if ('stored' in want) same(this.stored(), want.stored, 'stored');
    if (want.result) for (const r of this.results.get(want.result.of)) checkResult(r, want.result);
  }

  stored() {
    let v;
    try {
      v = JSON.parse(this.text);
    } catch {
      return null;
    }
    const kept = {};
    for (const name of ['access_token', 'refresh_token']) if (v?.[name]) kept[name] = v[name];
    return Object.keys(kept).length > 0 ? kept : null;
  }
}

function checkResult(r, want) {
  if (want.pending) return same(r.pending, true, 'pending');
  if (r.pending) throw new Error(`${want.of} is still pending`);
  if ('error' in want) return same(r.error?.code ?? String(r.value ?? r.error), want.error, 'error');
  if (r.error) throw r.error;
  if ('is' in want) same(r.value, want.is, want.of);
}

function same(got, want, what) {
  const [a, b] = [got, want].map(canonical);
  if (a !== b) throw new Error(`${what} is ${a}, want ${b}`);
}

/** JSON with the members of objects in order. */
const canonical = (v) => JSON.stringify(v, (_, o) =>
  o && typeof o === 'object' && !Array.isArray(o) ? Object.fromEntries(Object.entries(o).sort()) : o) ?? 'nothing';
