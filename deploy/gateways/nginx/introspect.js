// introspect.js answers nginx's auth_request by asking sessiongate about the token
// (RFC 7662). @CLIENT_ID@ and @CLIENT_SECRET@ are those of a client that sessiongate
// allows to introspect; only nginx should be able to read this file.

const CLIENT_ID = '@CLIENT_ID@';
const CLIENT_SECRET = '@CLIENT_SECRET@';

// What the routes ask for beyond a session: all of the scopes. The name is what follows
// /_introspect/policy/ in auth_request.
const POLICIES = {
    admin: ['@SCOPE@'],
};

// encode keeps a value within what a header can carry unchanged, as sessiongate does.
function encode(value) {
    return String(value).replace(/%|[^\x20-\x7e]+/g, encodeURIComponent).replace(/^ | $/g, '%20');
}

// list is words with a space between them; a space within one is encoded.
function list(values) {
    return (values || []).map(v => encode(v).replace(/ /g, '%20')).join(' ');
}

// formEncode: identifier and secret are form-encoded before Basic (RFC 6749 section 2.3.1).
function formEncode(value) {
    return encodeURIComponent(value).replace(/[!'()*]/g, c => '%' + c.charCodeAt(0).toString(16));
}

function basic() {
    return 'Basic ' + Buffer.from(formEncode(CLIENT_ID) + ':' + formEncode(CLIENT_SECRET)).toString('base64');
}

function refuse(r, status, challenge) {
    r.headersOut['WWW-Authenticate'] = challenge;
    r.return(status);
}

// identify puts what is known into the answer, which sessiongate-njs.conf copies to the
// application. What is unknown stays absent, and removes the client's own.
function identify(r, token) {
    const identity = {
        'X-Auth-Subject': encode(token.sub || ''),
        'X-Auth-Session-Id': encode(token.sid || ''),
        'X-Auth-Client-Id': encode(token.client_id || ''),
        'X-Auth-Scopes': encode(token.scope || ''),
        'X-Auth-Amr': list(token.amr),
        'X-Auth-Roles': list(token.roles),
        'X-Auth-Username': encode(token.username || ''),
        'X-Auth-Expires': encode(token.exp || ''),
    };
    for (const name in identity) {
        if (identity[name]) {
            r.headersOut[name] = identity[name];
        }
    }
}

async function check(r) {
    const bearer = /^bearer +([A-Za-z0-9._~+\/=-]+)$/i.exec(r.headersIn.Authorization || '');
    if (!bearer) {
        return refuse(r, 401, 'Bearer');
    }
    // In the body: a token in the arguments would be in the logs.
    const body = 'token_type_hint=access_token&token=' + encodeURIComponent(bearer[1]);
    const answer = await r.subrequest('/_sessiongate', { method: 'POST', body: body });
    let token;
    try {
        token = JSON.parse(answer.responseText);
    } catch (e) {
        token = {};
    }
    // Wrong credentials of ours and an outage both mean: we don't know. Not 401.
    if (answer.status !== 200 || typeof token.active !== 'boolean') {
        return r.return(503);
    }
    if (!token.active) {
        return refuse(r, 401, 'Bearer error="invalid_token"');
    }
    const policy = /\/policy\/(.*)$/.exec(r.uri);
    if (policy && !allowed(policy[1], token)) {
        return refuse(r, 403, 'Bearer error="insufficient_scope"');
    }
    identify(r, token);
    r.return(200);
}

function allowed(name, token) {
    const wanted = Object.prototype.hasOwnProperty.call(POLICIES, name) && POLICIES[name];
    const has = (token.scope || '').split(' ');
    return wanted && wanted.every(scope => has.includes(scope));
}

export default { basic, check };
