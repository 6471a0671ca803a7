import 'dart:async';
import 'dart:convert';
import 'dart:io';

import 'package:session_gateway/io.dart';
import 'package:session_gateway/session_gateway.dart';

import 'harness.dart';

/// A gateway that is there, and who may sign in.
final class Gateway {
  Gateway(this.url, this.user, this.password);

  final String url;
  final String user;
  final String password;

  Future<SessionState> signIn(SessionClient c) => c.login(identifier: user, password: password);
}

/// A transport that may lose answers, or have no network.
final class Lossy implements Transport {
  final _transport = IoTransport();
  var isOffline = false;

  /// The path whose next answer gets lost.
  String? loses;

  @override
  Future<TransportResponse> send(TransportRequest request, {Future<void>? abort}) async {
    if (isOffline) throw const SocketException('no network');
    final answer = await _transport.send(request, abort: abort);
    if (request.url.path != loses) return answer;
    loses = null;
    await answer.body.drain<void>();
    throw const SocketException('the answer was lost');
  }
}

/// The library against the real gateway, whose tokens are refreshed after some 12 s.
/// All times here are real.
Tests gatewayTests(Gateway gateway) {
  SessionClient client({TokenStore? store, Transport? transport, bool live = false}) =>
      SessionClient(
        baseUrl: gateway.url,
        transport: transport ?? IoTransport(),
        store: store,
        live: live,
        device: const Device(name: 'a test', platform: 'linux'),
      );
  return {
    'the whole life of a session': () => _wholeLife(gateway, client),
    'a token is refreshed by itself': () => _byItself(gateway, client),
    'fifty callers after a lost answer': () => _lostAnswer(gateway, client),
    'a restart, on line and off': () => _restart(gateway, client),
    'signed out without a network': () => _offlineSignOut(gateway, client),
    'signed out everywhere': () => _everywhere(gateway, client),
  };
}

typedef Make = SessionClient Function({TokenStore? store, Transport? transport, bool live});

Future<void> _wholeLife(Gateway gateway, Make client) async {
  final c = client();
  check(await c.start() is SignedOut, 'signed out at first');
  final e = await failure<SessionException>(
    () => c.login(identifier: gateway.user, password: 'wrong'),
  );
  expect((e.code, e.status, e.requestId != null), ('invalid_credentials', 401, true), 'the error');
  check(await gateway.signIn(c) is SessionActive, 'active after the sign-in');
  final first = await c.accessToken();
  final second = await c.refresh();
  check(first != second, 'a refresh gives another token');
  final status = await c.status();
  final page = await c.sessions(limit: 50);
  final mine = page.sessions.singleWhere((s) => s.isCurrent);
  expect((mine.id, mine.deviceInfo), (status.session.id, 'a test (linux)'), 'my session');
  check(mine.isActive, 'my session is active');
  await until('the log to have the sign-in', () async {
    final logs = (await c.logs(action: 'login', limit: 50)).logs;
    return logs.any((l) => l.sessionId == mine.id && l.success);
  });
  final other = client();
  await gateway.signIn(other);
  await c.endSession((await other.status()).session.id);
  final refused = await failure<SessionException>(other.status);
  expect(refused.reason, 'logged_out_or_revoked', 'the reason');
  expect('${other.state}', 'signed_out (logged_out_or_revoked)', 'the other state');
  final url = Uri.parse('${gateway.url}/sessions/status');
  expect((await c.send(TransportRequest('GET', url))).status, 200, 'the answer to my own request');
  await c.logout();
  final later = await IoTransport()
      .send(TransportRequest('GET', url, headers: {'Authorization': 'Bearer $second'}));
  expect(later.status, 401, 'the answer after the sign-out');
}

Future<void> _byItself(Gateway gateway, Make client) async {
  final c = client();
  await gateway.signIn(c);
  final first = await c.accessToken();
  await until('another token', () async => await c.accessToken() != first);
  expect('${c.state}', 'active', 'the state');
  await c.logout();
}

Future<void> _lostAnswer(Gateway gateway, Make client) async {
  final net = Lossy();
  final c = client(transport: net);
  await gateway.signIn(c);
  final first = await c.accessToken();
  net.loses = '/sessions/refresh';
  expect(await c.refresh(), first, 'the token, while nobody knows another');
  expect('${c.state}', 'stale', 'the state');
  await until('the retry', () => c.state is SessionActive);
  final tokens = {...await Future.wait([for (var n = 0; n < 50; n++) c.accessToken()])};
  expect(tokens.length, 1, 'how many tokens there are');
  check(!tokens.contains(first), 'it is another one');
  await c.status();
  await c.logout();
}

Future<void> _restart(Gateway gateway, Make client) async {
  final directory = await Directory.systemTemp.createTemp('sessiongate-dart-');
  try {
    final path = '${directory.path}/session';
    final store = FileTokenStore(path);
    final net = Lossy();
    final before = client(store: store, transport: net);
    await gateway.signIn(before);
    final id = (await before.status()).session.id;
    before.stop();
    expect(File(path).statSync().modeString(), 'rw-------', 'the mode of the file');

    net.isOffline = true;
    final after = client(store: store, transport: net);
    expect('${await after.start()}', 'stale', 'the state off line');
    check(after.state.isSignedIn, 'signed in, off line');
    net.isOffline = false;
    await after.online();
    final state = after.state;
    expect(state is SessionActive ? state.session.id : '$state', id, 'the session');
    await after.logout();
    check(!File(path).existsSync(), 'the file is gone');
    check(await client(store: store).start() is SignedOut, 'signed out after the next start');
  } finally {
    await directory.delete(recursive: true);
  }
}

Future<void> _offlineSignOut(Gateway gateway, Make client) async {
  final net = Lossy();
  final store = MemoryTokenStore();
  final c = client(store: store, transport: net);
  await gateway.signIn(c);
  final token = await c.accessToken();
  net.isOffline = true;
  await c.logout();
  expect('${c.state}', 'signed_out (signed_out)', 'the state');
  check((await store.read())!.contains(token!), 'the token waits in the store');
  c.stop();
  final later = client(store: store);
  await later.start();
  await until('the gateway to be told', () async => await store.read() == null);
  final answer = await IoTransport().send(TransportRequest(
    'GET',
    Uri.parse('${gateway.url}/sessions/status'),
    headers: {'Authorization': 'Bearer $token'},
  ));
  final body = jsonDecode(await utf8.decodeStream(answer.body)) as Map<String, Object?>;
  expect((answer.status, body['reason']), (401, 'logged_out_or_revoked'), 'the answer');
  later.stop();
}

Future<void> _everywhere(Gateway gateway, Make client) async {
  final events = TransportRequest('GET', Uri.parse('${gateway.url}/sessions/events'));
  final probe = await IoTransport().send(events);
  probe.body.listen(null).cancel().ignore();
  final isLive = probe.status != 404; // gateways may be older than the library
  final net = Counting();
  final (phone, here) = (client(live: isLive, transport: net), client());
  await gateway.signIn(phone);
  await gateway.signIn(here);
  if (isLive) await until('the stream', () => net.streams > 0);
  final watch = Stopwatch();
  final out = Completer<int>();
  phone.states.listen((s) {
    if (s is SignedOut && !out.isCompleted) out.complete(watch.elapsedMilliseconds);
  });
  watch.start();
  check(await here.logoutAll() >= 2, 'two sessions have ended, or more');
  final answered = watch.elapsedMilliseconds;
  if (!isLive) await phone.refresh();
  final ms = await out.future.timeout(const Duration(seconds: 30));
  expect(
    '${phone.state}',
    isLive ? 'signed_out (logout_all)' : 'signed_out (logged_out_or_revoked)',
    'the state of the phone',
  );
  final how = isLive ? 'live' : 'when asked';
  print('# from logout-all to sign-out ($how): $ms ms from the call on, '
      'whose own answer took $answered ms');
}

/// A transport that counts the streams that have brought something.
final class Counting implements Transport {
  final _transport = IoTransport();
  var streams = 0;

  @override
  Future<TransportResponse> send(TransportRequest request, {Future<void>? abort}) async {
    final r = await _transport.send(request, abort: abort);
    if (!request.url.path.endsWith('/sessions/events')) return r;
    var isFirst = true;
    return TransportResponse(r.status, r.headers, r.body.map((bytes) {
      if (isFirst) streams++;
      isFirst = false;
      return bytes;
    }));
  }
}
