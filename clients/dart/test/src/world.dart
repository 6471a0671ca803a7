import 'dart:async';
import 'dart:convert';

import 'package:session_gateway/session_gateway.dart';

import 'instance.dart';

typedef Json = Map<String, Object?>;

const base = 'https://gateway.test';

/// Runs one vector of clients/contract, whose README says how; throws what is wrong.
Future<void> runVector(Json vector, Json answers) async {
  final world = World(vector['given']! as Json, answers);
  final steps = (vector['steps']! as List).cast<Json>();
  for (final (n, step) in steps.indexed) {
    try {
      await world.step(step);
    } catch (e) {
      throw StateError('step ${n + 1}, ${jsonEncode(step)}: ${e is StateError ? e.message : e}');
    }
  }
  world.noCalls();
  world.stop();
}

/// Lets everything run that is ready to.
Future<void> settle() async {
  for (var n = 0; n < 8; n++) {
    await Future<void>.delayed(Duration.zero);
  }
}

Never wrong(String what) => throw StateError(what);

/// A vector's clock, store, network and clients.
final class World {
  World(Json given, this.answers)
      : isLive = (given['options'] as Json?)?['live'] == true,
        wall = DateTime.utc(2026, 11, 24, 12).add(_seconds(given['wall_offset'] as num? ?? 0)) {
    text = switch (given['stored']) {
      null => null,
      final String text => text,
      final Json stored => jsonEncode({'v': 1, ...stored}),
      final other => wrong('stored is $other'),
    };
  }

  final Json answers;
  final bool isLive;
  var now = const Duration(seconds: 5); // not 0, which a client might take for "not yet"

  /// What the wall clock shows when the other one shows 5 s.
  DateTime wall;
  var timers = <FakeTimer>[];
  final calls = <FakeCall>[];
  final named = <String, FakeCall>{};
  final results = <String, List<Result>>{};
  final instances = <String, Instance>{};
  String? text;
  Completer<void>? writesHeld;
  String? answering;

  void stop() {
    for (final i in instances.values) {
      i.client.stop();
    }
  }

  Future<void> step(Json step) async {
    await _run(step);
    await _settleAnswering();
  }

  Future<void> _settleAnswering() async {
    await settle();
    final name = answering;
    if (name == null || calls.isEmpty) return;
    final open = [...calls];
    calls.clear();
    for (final call in open) {
      _answer(call, name);
    }
    await settle();
  }

  Future<void> _run(Json step) async {
    switch (step) {
      case {'do': final String operation}:
        _do(operation, step);
      case {'call': final Json want}:
        _call(want, step['answer'] as String?);
      case {'answer_to': final String name}:
        _answer(named[name]!, step['answer']! as String);
      case {'no_calls': true}:
        noCalls();
      case {'advance': final num seconds}:
        await _advance(_seconds(seconds), step['answering'] as String?);
      case {'wall': final num seconds}:
        wall = wall.add(_seconds(seconds));
      case {'kill': final String name}:
        instance(name).isDead = true;
        timers.removeWhere((t) => t.of.name == name);
      case {'hold_writes': true}:
        writesHeld = Completer();
      case {'hold_writes': false}:
        writesHeld?.complete();
        writesHeld = null;
      case {'store': final Json stored}:
        text = jsonEncode({'v': 1, ...stored});
      case {'event': final String event, 'on': final String on, 'data': final Object data}:
        _send(on, 'event: $event\ndata: ${jsonEncode(data)}\n\n');
      case {'heartbeat': final String on}:
        _send(on, ': heartbeat\n\n');
      case {'close': final String on}:
        named[on]!.stream!.close().ignore();
      case {'closed': final String on}:
        if (!named[on]!.isClosed) wrong('the stream is open');
      case {'expect': final Json want}:
        _expect(want);
      default:
        wrong('the runner does not know this step');
    }
  }

  Instance instance(String name) => instances[name] ??= Instance(name, this);

  void _do(String operation, Json step) {
    final c = instance(step['client']! as String).client;
    final with_ = step['with'] as Json? ?? const {};
    Future<Object?> run() => switch (operation) {
          'start' => c.start().then(nameOf),
          'stop' => Future.sync(c.stop),
          'token' => c.accessToken(),
          'refresh' => c.refresh(),
          'login' => c.login(
              identifier: with_['identifier']! as String,
              password: with_['password']! as String,
              remember: with_['remember'] == true,
            ),
          'accept' => c.accept((answers[with_['grant']]! as Json)['body']! as Json),
          'logout' => c.logout(),
          'logout_all' => c.logoutAll(exceptCurrent: with_['except_current'] == true),
          'request' => c
              .send(TransportRequest(
                with_['method']! as String,
                Uri.parse(with_['url'] as String? ?? '$base${with_['path']}'),
              ))
              .then((r) => r.status),
          'resume' => c.resume(),
          'online' => c.online(),
          'touch' => Future.sync(c.touch),
          _ => wrong('the runner does not know this operation'),
        };
    final all = [for (var n = 0; n < (step['times'] as int? ?? 1); n++) Result(run())];
    if (step['as'] case final String name) results[name] = all;
  }

  void _call(Json want, String? answer) {
    final token = want['token'];
    final authorization = token == null ? null : 'Bearer $token';
    final at = calls.indexWhere((c) =>
        c.client == want['client'] &&
        c.request.method == want['method'] &&
        c.path == want['path'] &&
        c.authorization == authorization);
    if (at < 0) wrong('no such request; there are $calls');
    final call = calls.removeAt(at);
    final body = call.request.body;
    if (want['body'] case final wanted?) {
      same(body == null ? null : jsonDecode(body), wanted, 'body');
    } else if (want['path'] == '/sessions/refresh') {
      same(body, null, 'body');
    }
    if (want['as'] case final String name) named[name] = call;
    if (answer != null) _answer(call, answer);
  }

  void _answer(FakeCall call, String name) {
    final a = answers[name] as Json? ?? wrong('answers.json does not have $name');
    if (a['network'] != null) return call.fail(StateError('no network'));
    final body = a['body'] == null ? a['text'] as String? ?? '' : jsonEncode(a['body']);
    call.answer(
      a['status']! as int,
      {for (final h in (a['headers']! as Json).entries) h.key.toLowerCase(): '${h.value}'},
      a['stream'] == true ? null : body,
    );
  }

  void noCalls() {
    if (calls.isNotEmpty) wrong('there are requests: $calls');
  }

  Future<void> _advance(Duration by, String? answering) async {
    final until = now + by;
    this.answering = answering;
    while (true) {
      final due = timers.where((t) => t.at <= until).fold<FakeTimer?>(
            null,
            (first, t) => first == null || t.at < first.at ? t : first,
          );
      if (due == null) break;
      if (due.at > now) now = due.at;
      timers.remove(due);
      due.run();
      await _settleAnswering();
    }
    now = until;
    this.answering = null;
  }

  void _send(String on, String text) => named[on]!.stream!.add(utf8.encode(text));

  void _expect(Json want) {
    final state = instance(want['client']! as String).client.state;
    final session = switch (state) {
      SessionActive(:final session) => session,
      SessionStale(:final session) => session,
      _ => null,
    };
    final reason = switch (state) { SignedOut(:final reason) => reason, _ => null };
    if (want.containsKey('state')) same(nameOf(state), want['state'], 'state');
    if (want.containsKey('reason')) same(reason, want['reason'], 'reason');
    if (want.containsKey('session')) same(session?.id, want['session'], 'session');
    if (want.containsKey('stored')) same(_stored(), want['stored'], 'stored');
    if (want['result'] case final Json wanted) {
      for (final r in results[wanted['of']]!) {
        r.check(wanted);
      }
    }
  }

  Object? _stored() {
    Object? v;
    try {
      v = jsonDecode(text ?? 'null');
    } on FormatException {
      return null;
    }
    if (v is! Json) return null;
    final kept = {
      for (final name in const ['access_token', 'refresh_token'])
        if (v[name] case final value?) name: value,
    };
    return kept.isEmpty ? null : kept;
  }
}

/// What a call of a client has come to.
final class Result {
  Result(Future<Object?> future) {
    future.then((v) {
      _isPending = false;
      _value = v;
    }, onError: (Object e) {
      _isPending = false;
      _error = e;
    });
  }

  var _isPending = true;
  Object? _value;
  Object? _error;

  void check(Json want) {
    if (want['pending'] == true) return same(_isPending, true, 'pending');
    if (_isPending) wrong('${want['of']} is still pending');
    final error = _error;
    if (want.containsKey('error')) {
      final code = error is SessionException ? error.code : '${error ?? _value}';
      return same(code, want['error'], 'error');
    }
    if (error != null) wrong('$error');
    if (want.containsKey('is')) same(_value, want['is'], '${want['of']}');
  }
}

String nameOf(SessionState state) => switch (state) {
      SessionUnknown() => 'unknown',
      SignedOut() => 'signed_out',
      SessionActive() => 'active',
      SessionStale() => 'stale',
    };

void same(Object? got, Object? want, String what) {
  final (a, b) = (_canonical(got), _canonical(want));
  if (a != b) wrong('$what is $a, want $b');
}

/// JSON with the members of objects in order.
String _canonical(Object? v) => switch (v) {
      final Json map => [
          for (final k in map.keys.toList()..sort()) '"$k":${_canonical(map[k])}',
        ].toString(),
      _ => jsonEncode(v),
    };

Duration _seconds(num s) => Duration(microseconds: (s * 1e6).round());
