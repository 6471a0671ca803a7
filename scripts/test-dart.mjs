#!/usr/bin/env node
// The Dart libraries against the real gateway, on the VM of scripts/dart.sh: their own
// tests (clients/dart/test), and that its compiler finds what is wrong.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startGateway } from '../clients/typescript/test/gateway.mjs';

const at = (path) => fileURLToPath(new URL('../' + path, import.meta.url));
const dart = (args, how) => spawnSync(at('scripts/dart.sh'), args, { encoding: 'utf8', ...how });

/** An application that uses the adapter in wrong ways does not compile, for all of them. */
function compilerFinds() {
  const dir = mkdtempSync(join(tmpdir(), 'sessiongate-dart-'));
  const r = dart(['--packages=' + at('clients/dart/test/package_config.json'), `--snapshot=${dir}/wrong.dill`,
    '--snapshot-kind=kernel', at('clients/dart/test/wrong.dart')]);
  rmSync(dir, { recursive: true });
  const missing = [
    "'SessionStatus' can't be assigned to a variable of type 'bool'",
    "'Future<void>' can't be assigned to a variable of type 'String'",
    "'String' can't be assigned to the parameter type 'TokenStore?'",
    'getUserSession',
  ].filter((message) => !r.stderr.includes(message));
  const ok = r.status === 254 && missing.length === 0;
  console.log(`${ok ? 'ok' : 'not ok'} - the compiler finds what is wrong`);
  if (!ok) console.log(`its status is ${r.status}; not found: ${missing.join('; ')}\n${r.stderr}`);
  return ok;
}

async function againstGateway() {
  const gateway = await startGateway({
    SESSIONGATE_SESSIONS_TTL: '90s', SESSIONGATE_SESSIONS_REFRESH_AFTER: '12s', SESSIONGATE_SESSIONS_REFRESH_JITTER: '0.1',
    SESSIONGATE_TOKENS_LEEWAY: '1s',
  });
  try {
    const { identifier, password } = gateway.credentials;
    const r = dart(['--enable-asserts', at('bin/dart/tests.dill'), 'gateway', gateway.url, identifier, password], { stdio: 'inherit' });
    return r.status === 0;
  } finally {
    await gateway.stop();
  }
}

process.exitCode = [compilerFinds(), await againstGateway()].every((ok) => ok) ? 0 : 1;
