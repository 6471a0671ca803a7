// Prints how large the library is.
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';

const dist = new URL('../dist/', import.meta.url);
const code = readdirSync(dist).filter((n) => n.endsWith('.js') && n !== 'react.js').map((n) => readFileSync(new URL(n, dist)));
const [pack] = JSON.parse(execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], {
  cwd: new URL('..', import.meta.url), encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'],
}));
const kB = (n) => (n / 1000).toFixed(1) + ' kB';
console.log(`package ${kB(pack.size)}, unpacked ${kB(pack.unpackedSize)}; code ${kB(Buffer.concat(code).length)}, gzipped ${kB(gzipSync(Buffer.concat(code)).length)}; no dependencies`);
