// Verifies webhooks with the library standardwebhooks, prints one line for each
// check, and exits with 1 if one failed. $FOREIGN is JSON: the requests that a
// receiver got (headers, body), the secrets that may verify them, and one that
// may not.

import assert from 'node:assert/strict'
import { Webhook } from 'standardwebhooks'

const { requests, secrets, other } = JSON.parse(process.env.FOREIGN)
assert.ok(requests.length > 0, 'no requests')

for (const { headers, body } of requests) {
  for (const secret of secrets) {
    const data = new Webhook(secret).verify(body, headers)
    assert.equal(data.type, 'session.ended')
    console.log(`ok    ${headers['webhook-id']} ${data.data.kind}`)
  }
  const hook = new Webhook(secrets[0])
  assert.throws(() => new Webhook(other).verify(body, headers), /No matching signature/)
  assert.throws(() => hook.verify(body.replace('session.ended', 'session.began'), headers), /No matching signature/)
  assert.throws(() => hook.verify(body, { ...headers, 'webhook-id': 'ntc_other' }), /No matching signature/)
  assert.throws(() => hook.verify(body, { ...headers, 'webhook-timestamp': '1700000000' }), /too old/)
  console.log('ok    what was changed is refused')
}
