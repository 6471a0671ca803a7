import { createSessionClient, webStorage } from './client/index.js';

const client = createSessionClient({ baseUrl: '/auth', storage: webStorage(), device: { name: 'the example', platform: 'web' } });
const $ = (id) => document.getElementById(id);

function show({ state, reason, session }) {
  const inside = state === 'active' || state === 'stale';
  $('state').textContent = inside
    ? `${session?.user_id ?? 'signed in'}${state === 'stale' ? ', and offline' : ''}`
    : state === 'unknown' ? '…' : `signed out${reason ? ` (${reason})` : ''}`;
  $('login').hidden = state !== 'signed_out';
  $('inside').hidden = !inside;
  if (state === 'active') void list();
}

async function list() {
  const { sessions } = await client.sessions();
  $('devices').replaceChildren(...sessions.map((s) => {
    const item = document.createElement('li');
    item.textContent = `${s.device_info || 'a device'}, ${s.ip_address}, since ${new Date(s.created_at).toLocaleString()} `;
    if (!s.current) {
      const end = document.createElement('button');
      end.textContent = 'End';
      end.onclick = () => attempt(() => client.endSession(s.id).then(list));
      item.append(end);
    }
    return item;
  }));
}

async function attempt(run) {
  $('error').textContent = '';
  try {
    await run();
  } catch (e) {
    $('error').textContent = e.message;
  }
}

$('login').onsubmit = (e) => {
  e.preventDefault();
  void attempt(() => client.login(Object.fromEntries(new FormData(e.target))));
};
$('logout').onclick = () => attempt(client.logout);
$('logout-all').onclick = () => attempt(client.logoutAll);

client.subscribe(show);
show(await client.start());
