// A Lambda authorizer for an API Gateway HTTP API (payload 2.0, simple responses): it asks
// sessiongate about the token by introspection (RFC 7662).
//
// Environment: SESSIONGATE_URL (https://…), CLIENT_ID, CLIENT_SECRET (of a client that
// sessiongate allows to introspect), SCOPES (those that the routes ask for, separated by
// spaces; may be empty).

const encode = (text) => encodeURIComponent(text).replace(/[!'()*]/g, (c) => '%' + c.charCodeAt(0).toString(16));

// plain keeps a value within what a header carries unchanged; empty where nothing is known.
const plain = (value) => String(value ?? '').replace(/%|[^\x20-\x7e]+/gu, encodeURIComponent);

const list = (values) => (values ?? []).map((v) => plain(v).replace(/ /g, '%20')).join(' ');

async function introspect(token) {
    const credentials = encode(process.env.CLIENT_ID) + ':' + encode(process.env.CLIENT_SECRET);
    const answer = await fetch(process.env.SESSIONGATE_URL + '/oauth2/introspect', {
        method: 'POST',
        headers: { authorization: 'Basic ' + Buffer.from(credentials).toString('base64') },
        body: new URLSearchParams({ token, token_type_hint: 'access_token' }),
        redirect: 'error',
        signal: AbortSignal.timeout(2000), // above sessiongate's redis.timeout
    });
    const session = answer.status === 200 ? await answer.json() : {};
    if (typeof session.active !== 'boolean') {
        throw new Error('sessiongate cannot say'); // API Gateway answers 500; never "no"
    }
    return session;
}

export async function handler(event) {
    const bearer = /^bearer +([A-Za-z0-9._~+/=-]+)$/i.exec(event.identitySource?.[0] ?? '');
    if (!bearer) {
        return { isAuthorized: false };
    }
    const session = await introspect(bearer[1]);
    const has = (session.scope ?? '').split(' ');
    const wanted = (process.env.SCOPES ?? '').split(' ').filter(Boolean);
    if (!session.active || !wanted.every((scope) => has.includes(scope))) {
        return { isAuthorized: false };
    }
    return {
        isAuthorized: true,
        context: {
            subject: plain(session.sub),
            sessionId: plain(session.sid),
            clientId: plain(session.client_id),
            scopes: plain(session.scope),
            amr: list(session.amr),
            roles: list(session.roles),
            username: plain(session.username),
            expires: plain(session.exp),
        },
    };
}
