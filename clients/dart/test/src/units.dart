import 'dart:async';
import 'dart:convert';

import 'package:session_gateway/session_gateway.dart';
import 'package:session_gateway/src/clock.dart';
import 'package:session_gateway/src/sse.dart';

import 'harness.dart';

/// What the vectors don't tell.
final Tests unitTests = {
  'events, cut anywhere': _eventsCutAnywhere,
  'an event without an end': _eventWithoutEnd,
  'delays stay within their bounds': _delays,
  'a store that fails': _storeThatFails,
  'the longest interval between refreshes': _refreshInterval,
  'a page that is not the gateway\'s': _foreignPage,
};

Future<void> _eventsCutAnywhere() async {
  const text = ': hi\r\n\r\nevent: hello\ndata: {"a":"ä€😀"}\n\n'
      'id: 1\rdata: x\rdata:y\r\r\n\ndata: z\n\n';
  final bytes = utf8.encode(text);
  for (var cut = 0; cut <= bytes.length; cut++) {
    final reader = EventReader();
    final events = [...reader.push(bytes.sublist(0, cut)), ...reader.push(bytes.sublist(cut))];
    expect(
      events.join('; '),
      '(data: {"a":"ä€😀"}, name: hello); (data: x\ny, name: message); (data: z, name: message)',
      'the events, cut at $cut',
    );
  }
}

Future<void> _eventWithoutEnd() async {
  final reader = EventReader();
  await failure<FormatException>(() {
    for (var n = 0; n < 100; n++) {
      reader.push(List.filled(1024, 0x61));
    }
  });
}

Future<void> _delays() async {
  const longest = Duration(seconds: 30);
  for (var failures = 1; failures < 100; failures++) {
    for (final random in [0.0, 0.5, 0.999]) {
      final delay = retryDelay(failures, longest, random);
      check(delay <= longest && delay >= const Duration(milliseconds: 250), '$failures: $delay');
    }
  }
  final told = toldDelay(const Duration(seconds: 8), 0.5);
  expect(told, const Duration(seconds: 10), 'the wait after a Retry-After of 8 s');
}

/// Fails when told to.
final class _Fragile implements TokenStore {
  final _store = MemoryTokenStore();
  var isBroken = false;

  T _unlessBroken<T>(T Function() run) => isBroken ? throw StateError('broken') : run();

  @override
  Future<String?> read() async => _unlessBroken(_store.read);
  @override
  Future<void> write(String text) async => _unlessBroken(() => _store.write(text));
  @override
  Future<void> delete() async => _unlessBroken(_store.delete);
}

/// Answers everything with a body.
final class _Answering implements Transport {
  _Answering(this.body);
  Object? body;
  final asked = <String>[];

  @override
  Future<TransportResponse> send(TransportRequest request, {Future<void>? abort}) async {
    asked.add(request.url.path);
    return TransportResponse(200, const {}, Stream.value(utf8.encode(jsonEncode(body))));
  }
}

/// Runs no timer; says when the next would run.
final class _Standing implements Clock {
  final delays = <Duration>[];

  @override
  Duration now() => Duration.zero;
  @override
  DateTime wall() => DateTime.utc(2026);
  @override
  void Function() after(Duration delay, void Function() run) {
    delays.add(delay);
    return () => delays.remove(delay);
  }
}

Map<String, Object?> _grant(String token) => {
      'access_token': token,
      'expires_in': 1800,
      'refresh_after': 1500,
      'session': {
        'id': 's1',
        'user_id': '42',
        'is_active': true,
        'created_at': '2026-11-24T12:00:00.000Z',
        'last_activity': '2026-11-24T12:00:00.000Z',
        'expires_at': '2026-11-24T12:30:00.000Z',
      },
    };

SessionClient _client(Transport transport, {TokenStore? store, Clock? clock, Duration? interval}) =>
    SessionClient(
      baseUrl: 'https://gateway.test/',
      transport: transport,
      store: store,
      live: false,
      clock: clock ?? _Standing(),
      refreshInterval: interval,
    );

Future<void> _storeThatFails() async {
  final store = _Fragile();
  final c = _client(_Answering(_grant('t2')), store: store);
  await c.accept(_grant('t1'));
  store.isBroken = true;
  expect(await c.accessToken(), 't1', 'the token');
  expect(await c.refresh(), 't2', 'the token after a refresh that could not be stored');
  expect('${c.state}', 'active', 'the state');
  await c.logout();
  expect(await c.accessToken(), null, 'the token after the sign-out');
}

Future<void> _refreshInterval() async {
  for (final (minutes, want) in [(null, 1500), (10, 600), (40, 1500)]) {
    final interval = minutes == null ? null : Duration(minutes: minutes);
    final clock = _Standing();
    await _client(_Answering(null), clock: clock, interval: interval).accept(_grant('t1'));
    expect('${clock.delays}', '${[Duration(seconds: want)]}', 'the timers with $interval');
  }
}

Future<void> _foreignPage() async {
  final net = _Answering({'sessions': 'none', 'next_cursor': null});
  final c = _client(net);
  await c.accept(_grant('t1'));
  final e = await failure<SessionException>(c.sessions);
  expect(e.code, 'protocol', 'the code');
  expect('${c.state}', 'active', 'the state');
  expect('${net.asked}', '[/sessions/my-sessions]', 'what was asked');
}
