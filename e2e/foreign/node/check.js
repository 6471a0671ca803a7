// Runs openid-client and oauth4webapi against a gateway, prints one line for each
// check, and exits with 1 if one failed. $FOREIGN is JSON: the issuer, the audience
// and algorithm of its tokens, and two clients (id, secret).

import assert from 'node:assert/strict'
import * as oauth from 'oauth4webapi'
import * as openid from 'openid-client'

const { issuer, audience, algorithm, shop, other } = JSON.parse(process.env.FOREIGN)
const overHTTP = { [oauth.allowInsecureRequests]: true } // on loopback

let passed = 0
let failed = 0

async function check(name, test) {
  try {
    await test()
    passed++
    console.log(`ok    ${name}`)
  } catch (err) {
    failed++
    console.log(`FAIL  ${name}: ${err.stack}`, err.cause ?? '')
  }
}

// open opens a session as a client's backend and returns its token.
async function open(client) {
  const half = (s) => encodeURIComponent(s)
  const basic = Buffer.from(`${half(client.id)}:${half(client.secret)}`).toString('base64')
  const response = await fetch(`${issuer}/sessions`, {
    method: 'POST',
    headers: { authorization: `Basic ${basic}`, 'content-type': 'application/json' },
    body: JSON.stringify({ user_id: 'nora', username: 'nora@example.com', scope: 'orders:read profile', amr: ['pwd'] }),
  })
  assert.equal(response.status, 201)
  return (await response.json()).access_token
}

function checkMetadata(as) {
  assert.equal(as.issuer, issuer)
  assert.equal(as.introspection_endpoint, `${issuer}/oauth2/introspect`)
  assert.equal(as.revocation_endpoint, `${issuer}/oauth2/revoke`)
  assert.equal(as.jwks_uri, `${issuer}/.well-known/jwks.json`)
  assert.deepEqual(as.introspection_signing_alg_values_supported, [algorithm])
}

function checkActive(claims, client) {
  assert.equal(claims.active, true)
  assert.equal(claims.iss, issuer)
  assert.equal(claims.sub, 'nora')
  assert.equal(claims.aud, audience)
  assert.equal(claims.client_id, client.id)
  assert.equal(claims.username, 'nora@example.com')
  assert.equal(claims.scope, 'orders:read profile')
  assert.equal(claims.token_type, 'Bearer')
  const life = claims.exp - claims.iat // both are whole seconds: iat rounded down, exp up
  assert.ok(life === 30 * 60 || life === 30 * 60 + 1, `the token lives for ${life} s`)
  assert.deepEqual(claims.amr, ['pwd'])
  assert.ok(claims.sid && claims.jti && claims.auth_time)
}

// The two ways in which a client may say who it is. Either way who it says it is
// not gets 401 and a challenge.
const methods = {
  basic: { openid: openid.ClientSecretBasic, oauth: oauth.ClientSecretBasic },
  post: { openid: openid.ClientSecretPost, oauth: oauth.ClientSecretPost },
}
const refused = { status: 401, code: 'OAUTH_WWW_AUTHENTICATE_CHALLENGE' }

// Both libraries, with the same few calls.

async function withOpenid(discovery, method, { id, secret }, metadata = {}) {
  const config = await openid.discovery(new URL(issuer), id, metadata, methods[method].openid(secret), {
    algorithm: discovery,
    execute: [openid.allowInsecureRequests],
  })
  if (metadata.introspection_signed_response_alg) openid.enableNonRepudiationChecks(config)
  return {
    metadata: config.serverMetadata(),
    introspect: (token, more) => openid.tokenIntrospection(config, token, more),
    revoke: (token, more) => openid.tokenRevocation(config, token, more),
  }
}

async function withOauth(discovery, method, { id, secret }, metadata = {}) {
  const url = new URL(issuer)
  const response = await oauth.discoveryRequest(url, { algorithm: discovery, ...overHTTP })
  const as = await oauth.processDiscoveryResponse(url, response)
  const client = { client_id: id, ...metadata }
  const auth = methods[method].oauth(secret)
  return {
    metadata: as,
    introspect: async (token, additionalParameters) => {
      const options = { additionalParameters, ...overHTTP }
      const response = await oauth.introspectionRequest(as, client, auth, token, options)
      const claims = await oauth.processIntrospectionResponse(as, client, response)
      if (metadata.introspection_signed_response_alg) {
        assert.equal(response.headers.get('content-type'), 'application/token-introspection+jwt')
        await oauth.validateApplicationLevelSignature(as, response, overHTTP)
      }
      return claims
    },
    revoke: async (token, additionalParameters) => {
      const options = { additionalParameters, ...overHTTP }
      await oauth.processRevocationResponse(await oauth.revocationRequest(as, client, auth, token, options))
    },
  }
}

async function checkLibrary(name, connect, discovery, method) {
  const title = `${name}, ${discovery}, ${method}:`
  const hint = { token_type_hint: 'access_token' }
  await check(`${title} discovery`, async () => {
    checkMetadata((await connect(discovery, method, shop)).metadata)
  })
  await check(`${title} introspection`, async () => {
    const { introspect } = await connect(discovery, method, shop)
    checkActive(await introspect(await open(shop), hint), shop)
    checkActive(await introspect(await open(other)), other)
    assert.deepEqual({ ...(await introspect('nonsense')) }, { active: false })
  })
  await check(`${title} revocation`, async () => {
    const { introspect, revoke } = await connect(discovery, method, shop)
    const token = await open(shop)
    await revoke(token, hint)
    assert.deepEqual({ ...(await introspect(token)) }, { active: false })
    await revoke(token)
    await revoke('nonsense')
    const foreign = await open(other)
    await revoke(foreign)
    checkActive(await introspect(foreign), other)
  })
  await check(`${title} a wrong secret`, async () => {
    const token = await open(shop)
    const impostor = await connect(discovery, method, { id: shop.id, secret: other.secret })
    await assert.rejects(impostor.introspect(token), refused)
    await assert.rejects(impostor.revoke(token), refused)
    const { introspect } = await connect(discovery, method, shop)
    checkActive(await introspect(token), shop)
  })
}

// RFC 9701: the answer is a JWT for the client that asked; its signature is
// checked with the published keys.
async function checkSigned(name, connect) {
  await check(`${name}: signed introspection, ${algorithm}`, async () => {
    const metadata = { introspection_signed_response_alg: algorithm }
    const { introspect } = await connect('oauth2', 'basic', shop, metadata)
    checkActive(await introspect(await open(shop)), shop)
    assert.deepEqual({ ...(await introspect('nonsense')) }, { active: false })
  })
}

// RFC 9068: the token itself is checked with the published keys.
async function checkAccessToken() {
  const { metadata } = await withOauth('oauth2', 'basic', shop)
  const validate = (token, forWhom) => {
    const request = new Request('https://orders.example.com/', { headers: { authorization: `Bearer ${token}` } })
    return oauth.validateJwtAccessToken(metadata, request, forWhom, { signingAlgorithms: [algorithm], ...overHTTP })
  }
  await check(`oauth4webapi: access token, ${algorithm}`, async () => {
    const claims = await validate(await open(shop), audience)
    assert.equal(claims.sub, 'nora')
    assert.equal(claims.client_id, shop.id)
    assert.equal(claims.preferred_username, 'nora@example.com')
  })
  await check('oauth4webapi: an access token for somebody else', async () => {
    await assert.rejects(validate(await open(shop), 'https://elsewhere.example.com'))
  })
}

for (const [name, connect] of [['openid-client', withOpenid], ['oauth4webapi', withOauth]]) {
  for (const discovery of ['oauth2', 'oidc']) {
    for (const method of Object.keys(methods)) await checkLibrary(name, connect, discovery, method)
  }
  await checkSigned(name, connect)
}
await checkAccessToken()

console.log(`${passed} passed, ${failed} failed`)
process.exitCode = failed > 0 || passed === 0 ? 1 : 0
