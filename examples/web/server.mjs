// An application's web server, as small as can be: its page, the client library, and
// the gateway below /auth, so that both have one origin. It goes with `make run`:
//
//     make example-web
import { readFile } from 'node:fs/promises';
import { createServer, request } from 'node:http';

const root = new URL('../../', import.meta.url);
const port = Number(process.env.PORT ?? 8090);
const files = {
  '/': ['examples/web/index.html', 'text/html'],
  '/app.js': ['examples/web/app.js', 'text/javascript'],
};

/** Where `make run` listens, and who may sign in. */
async function development() {
  const text = await readFile(new URL('.data/dev.env', root), 'utf8').catch(() => {
    console.error('start the gateway first: make run');
    process.exit(1);
  });
  return Object.fromEntries([...text.matchAll(/^(\w+)='?(.*?)'?$/gm)].map(([, name, value]) => [name, value]));
}

const { SESSIONGATE_URL: gateway, DEMO_USER: user, DEMO_PASSWORD: password } = await development();

function pass(req, res) {
  const up = request(gateway + req.url.slice('/auth'.length), { method: req.method, headers: req.headers }, (answer) => {
    res.writeHead(answer.statusCode, answer.headers);
    res.flushHeaders(); // an event stream begins before it has anything to say
    answer.pipe(res);
  });
  up.on('error', () => (res.headersSent ? res.destroy() : res.writeHead(502).end()));
  res.on('close', () => up.destroy());
  req.pipe(up);
}

async function serve(req, res) {
  const { pathname } = new URL(req.url, 'http://localhost');
  const library = /^\/client\/(\w+\.js)$/.exec(pathname)?.[1];
  const [path, type] = library ? [`clients/typescript/dist/${library}`, 'text/javascript'] : files[pathname] ?? [];
  try {
    if (!path) throw new Error('nothing there');
    const body = await readFile(new URL(path, root));
    res.writeHead(200, { 'Content-Type': type, 'Content-Security-Policy': "default-src 'self'; img-src data:" }).end(body);
  } catch {
    res.writeHead(404).end();
  }
}

createServer((req, res) => (req.url.startsWith('/auth/') ? pass(req, res) : void serve(req, res)))
  .listen(port, '127.0.0.1', () => console.log(`http://localhost:${port}: sign in as ${user} with ${password}`));
