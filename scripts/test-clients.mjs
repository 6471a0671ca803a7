#!/usr/bin/env node
// Puts every client through the vectors of clients/contract and prints the table
// vector × client. A client takes part by having a runner: a command that prints
// one line of JSON for each vector, {"client","vector","ok","ms","error"}; it may have
// another one that prints its size.
import { execFileSync, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';

const root = new URL('..', import.meta.url);
const runners = [
  { client: 'typescript', in: 'clients/typescript', run: ['node', 'test/contract.mjs'], size: ['node', 'test/size.mjs'] },
  { client: 'dart', in: 'clients/dart', run: ['../../scripts/dart.sh', '--enable-asserts', '../../bin/dart/tests.dill', 'contract', '../contract'] },
  { client: 'go', in: 'clients/go', run: ['./contract.sh'] },
];

const contract = new URL('clients/contract/', root);
const vectors = readdirSync(contract).filter((n) => n.endsWith('.json')).sort()
  .flatMap((n) => JSON.parse(readFileSync(new URL(n, contract), 'utf8')).vectors ?? []).map((v) => v.name);

/** What a runner says of each vector, and how long it took for all. */
async function run({ client, in: dir, run: [command, ...args] }) {
  const results = new Map();
  const child = spawn(command, args, { cwd: new URL(dir, root), stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise((done, fail) => child.on('error', fail).on('close', done));
  for await (const line of createInterface({ input: child.stdout })) {
    const r = JSON.parse(line);
    results.set(r.vector, r);
  }
  return { client, results, code: await ended };
}

const columns = [];
for (const r of runners) columns.push(await run(r)); // in turn: one is quick, all at once are not

let failed = columns.some((c) => c.code !== 0);
const width = Math.max(...vectors.map((v) => v.length));
console.log(['vector'.padEnd(width), ...columns.map((c) => c.client)].join('  '));
for (const v of vectors) {
  const cells = columns.map((c) => {
    const r = c.results.get(v);
    failed ||= r?.ok !== true;
    return (r === undefined ? 'missing' : r.ok ? 'ok' : 'FAIL').padEnd(c.client.length);
  });
  console.log([v.padEnd(width), ...cells].join('  ').trimEnd());
}
for (const { client, results } of columns) {
  for (const r of results.values()) {
    if (!r.ok) console.log(`\n${client}: ${r.vector}: ${r.error}`);
    if (!vectors.includes(r.vector)) failed = true;
  }
}
const count = (c) => [...c.results.values()].filter((r) => r.ok).length;
console.log(['\nof ' + vectors.length, ...columns.map((c) => `${c.client} ${count(c)}`)].join(', '));
for (const { client, in: dir, size } of runners) {
  if (!size) continue;
  const [command, ...args] = size;
  console.log(`${client}: ${execFileSync(command, args, { cwd: new URL(dir, root), encoding: 'utf8' }).trim()}`);
}
process.exitCode = failed ? 1 : 0;
