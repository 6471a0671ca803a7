// Runs all vectors in Node.js and prints a line of JSON for each.
import { readFile, readdir } from 'node:fs/promises';
import { createSessionClient } from '../dist/index.js';
import { runVector } from './harness.mjs';

const dir = new URL('../../contract/', import.meta.url);
const read = async (name) => JSON.parse(await readFile(new URL(name, dir), 'utf8'));
const { answers } = await read('answers.json');
const names = (await readdir(dir)).filter((n) => n.endsWith('.json') && n !== 'answers.json' && n !== 'schema.json').sort();

let failed = 0;
for (const name of names) {
  for (const vector of (await read(name)).vectors) {
    const begun = performance.now();
    const line = { client: 'typescript', vector: vector.name, ok: true };
    try {
      await runVector(vector, answers, createSessionClient);
    } catch (e) {
      Object.assign(line, { ok: false, error: e.message });
      failed++;
    }
    console.log(JSON.stringify({ ...line, ms: Math.round(performance.now() - begun) }));
  }
}
process.exitCode = failed > 0 ? 1 : 0;
