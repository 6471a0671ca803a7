import 'dart:async';
import 'dart:math';

import 'clock.dart';
import 'core.dart';
import 'exception.dart';
import 'farewell.dart';
import 'live.dart';
import 'models.dart';
import 'record.dart';
import 'state.dart';
import 'store.dart';
import 'transport.dart';
import 'wire.dart';

/// Keeps a user signed in. Make one for the whole application.
///
/// Only the gateway's own word ends a session: a lost network, a wrong clock or a
/// gateway that is away don't.
final class SessionClient {
  /// Makes a client of the gateway at [baseUrl], which does nothing before [start] or
  /// [login].
  ///
  /// Tokens are kept in [store], in memory unless told. [device] is sent with
  /// sign-ins. With [live], a sign-out from elsewhere arrives at once. [send] gives
  /// the token to the gateway and to [apiOrigins] only (`https://api.example.com`).
  /// The gateway says when a refresh is due; [refreshInterval] is the longest that
  /// the client waits. [clock] and [random] (0 ≤ n < 1, spreads retries) are for tests.
  SessionClient({
    required String baseUrl,
    required Transport transport,
    TokenStore? store,
    Device? device,
    bool live = true,
    Iterable<String> apiOrigins = const [],
    Duration? refreshInterval,
    Clock? clock,
    double Function()? random,
  })  : _transport = transport,
        _origins = {for (final url in [baseUrl, ...apiOrigins]) _originOf(Uri.parse(url))},
        _clock = clock ?? SystemClock(),
        _record = Record(store ?? MemoryTokenStore()) {
    final dice = random ?? Random().nextDouble;
    _wire = Wire(baseUrl.replaceFirst(RegExp(r'/+$'), ''), device, transport, _clock);
    _core = Core(_wire, _record, _clock, dice, refreshInterval, _changed);
    _farewell = Farewell(_wire, _record, _clock, dice);
    _live = live ? Live(_wire, _clock, dice, _Listener(this)) : null;
  }

  final Transport _transport;
  final Set<String> _origins;
  final Clock _clock;
  final Record _record;
  late final Wire _wire;
  late final Core _core;
  late final Farewell _farewell;
  late final Live? _live;
  final _states = StreamController<SessionState>.broadcast();
  Future<void>? _started;
  String? _liveSid;

  /// What there is to know now.
  SessionState get state => _core.state;

  /// Every change of [state]. It does not end.
  Stream<SessionState> get states => _states.stream;

  /// Takes up the stored session, if there is one, and keeps it from then on. Ready
  /// when it is known what there is.
  Future<SessionState> start() async {
    await (_started ??= _begin());
    return state;
  }

  /// Stops timers and requests, and leaves the session as it is; [start] goes on. A
  /// program ends when nothing else is left to do.
  void stop() {
    _core.stop();
    _farewell.stop();
    _live?.close();
    _started = null;
  }

  /// Signs the user in. With [remember], the device starts a new session when the
  /// time of one ran out. Fails with a [SessionException]: `invalid_credentials`,
  /// `network`, …
  Future<SessionState> login({
    required String identifier,
    required String password,
    bool remember = false,
  }) {
    final body = {
      'identifier': identifier,
      'password': password,
      ..._wire.device,
      if (remember) 'remember': true,
    };
    return _open(() => _wire.send(Call('POST', '/sessions/login', body: body)));
  }

  /// Takes over a session that the application's own backend has opened
  /// (`POST /sessions`); [grant] is the answer's body.
  Future<SessionState> accept(Map<String, Object?> grant) => _open(() async => Done(grant));

  /// The token to send to an API; null if nobody is signed in. It waits for a refresh
  /// where the token is good for less than a minute, and never fails.
  Future<String?> accessToken() async {
    if (state is SessionUnknown) await start();
    if (_core.held?.access != null && _core.isDue && !_core.isRetrying) {
      final refreshed = _core.sync(Want.refresh);
      if (!_core.isRoomy) await refreshed;
    }
    return _core.held?.access;
  }

  /// Refreshes now, if the gateway may be asked. Gives the token that there is then.
  Future<String?> refresh() async {
    if (state is SessionUnknown) await start();
    await _core.sync(Want.refresh);
    return _core.held?.access;
  }

  /// Sends a request of the application, with the token where it belongs: to the
  /// gateway's origin and to `apiOrigins`. A 401 is tried again once, with a new token.
  Future<TransportResponse> send(TransportRequest request) async {
    final hasOwn = request.headers.keys.any((name) => name.toLowerCase() == 'authorization');
    if (hasOwn || !_origins.contains(_originOf(request.url))) return _transport.send(request);
    final token = await accessToken();
    final rotation = _core.rotation;
    final answer = await _transport.send(_signed(request, token));
    if (answer.status != 401 || token == null) return answer;
    if (_core.rotation == rotation && _clock.now() - _core.obtained >= fresh) {
      await _core.sync(Want.refresh);
    }
    final next = _core.held?.access;
    if (_core.rotation == rotation || next == null) return answer;
    answer.body.listen(null).cancel().ignore();
    return _transport.send(_signed(request, next));
  }

  /// Signs out on this device: at once, and at the gateway as soon as it can be
  /// reached.
  Future<void> logout() async {
    await _core.load();
    final token = _core.held?.access;
    _live?.close();
    await _core.end('signed_out', signedOut: token);
    await _farewell.send();
  }

  /// Signs out on all devices, or on all others. Gives how many sessions have ended.
  /// It can't be promised without the gateway: it fails with a [SessionException]
  /// then, and nothing has changed.
  Future<int> logoutAll({bool exceptCurrent = false}) async {
    final body = {if (exceptCurrent) 'except_current': true};
    final answer = await _call(Call('POST', '/sessions/logout-all', body: body));
    final revoked = answer['revoked'];
    if (revoked is! int) throw const SessionException.foreign();
    if (!exceptCurrent) await _core.end('signed_out');
    return revoked;
  }

  /// What the gateway says of the session now.
  Future<SessionStatus> status() => _get('/sessions/status', SessionStatus.fromJson);

  /// The user's sessions: their devices. [sessionState] is `active` (the default),
  /// `ended` or `all`.
  Future<SessionPage> sessions({String? sessionState, int? limit, String? cursor}) => _get(
        '/sessions/my-sessions',
        SessionPage.fromJson,
        {'state': sessionState, 'limit': limit, 'cursor': cursor},
      );

  /// Ends one of the user's sessions.
  Future<void> endSession(String id) =>
      _call(Call('DELETE', '/sessions/my-sessions/${Uri.encodeComponent(id)}'));

  /// What happened to the user's sessions.
  Future<LogPage> logs({
    String? action,
    String? sessionId,
    DateTime? from,
    DateTime? to,
    int? limit,
    String? cursor,
  }) =>
      _get('/sessions/my-session-logs', LogPage.fromJson, {
        'action': action,
        'session_id': sessionId,
        'from': from?.toUtc().toIso8601String(),
        'to': to?.toUtc().toIso8601String(),
        'limit': limit,
        'cursor': cursor,
      });

  /// The application is in the foreground again.
  Future<void> resume() async {
    _live?.hurry();
    if (_core.isRetrying) return _core.hurry();
    if (_core.held != null && _core.hasWaited) {
      await _core.sync(_core.isDue ? Want.refresh : Want.status);
    }
  }

  /// There is a network again.
  Future<void> online() async {
    _live?.hurry();
    _farewell.send().ignore();
    await _core.hurry();
  }

  /// The user did something: it counts against an idle timeout, with the next refresh.
  void touch() => _core.touched = true;

  Future<void> _begin() async {
    _farewell.send().ignore();
    await _core.begin();
  }

  Future<SessionState> _open(Future<Answer> Function() ask) async {
    if (_started == null) await start();
    final epoch = _core.epoch;
    final answer = await ask();
    if (answer is Failure) throw answer.error;
    final grant = Grant.parse((answer as Done).body, needsToken: true);
    if (grant == null) throw const SessionException.foreign();
    if (state case SignedOut(reason: 'signed_out') when epoch.isOver) {
      await _record.write((was) => was.withSignedOut([...was.signedOut, grant.access!]));
      _farewell.send().ignore();
      throw const SessionException('signed_out', 'The user has signed out meanwhile.');
    }
    await _core.open(grant);
    return state;
  }

  Future<T> _get<T>(
    String path,
    T Function(Map<String, Object?>) read, [
    Map<String, Object?> query = const {},
  ]) async {
    final parts = [
      for (final MapEntry(:key, :value) in query.entries)
        if (value != null) '$key=${Uri.encodeQueryComponent('$value')}',
    ];
    final body = await _call(Call('GET', parts.isEmpty ? path : '$path?${parts.join('&')}'));
    try {
      return read(body);
    } on FormatException {
      throw const SessionException.foreign();
    }
  }

  /// A call of the gateway's own endpoints, whose refusal is the gateway's word.
  Future<Map<String, Object?>> _call(Call call) async {
    final token = await accessToken();
    final sent = _core.held;
    if (token == null || sent == null) {
      final reason = switch (state) { SignedOut(:final reason) => reason, _ => null };
      const nobody = 'Nobody is signed in.';
      throw SessionException('unauthenticated', nobody, status: 401, reason: reason);
    }
    final answer = await _wire.send(call.withToken(token));
    if (answer is Refused && identical(sent, _core.held)) await _core.refused(sent, answer.reason);
    if (answer is Failure) throw answer.error;
    final body = (answer as Done).body;
    if (body is Map<String, Object?>) return body;
    if (call.method == 'DELETE') return const {};
    throw const SessionException.foreign();
  }

  TransportRequest _signed(TransportRequest request, String? token) =>
      token == null ? request : request.withHeader('Authorization', 'Bearer $token');

  void _changed() {
    switch (state) {
      case SessionActive(:final session):
        if (_liveSid != session.id) _live?.close();
        _liveSid = session.id;
        _live?.open();
      case SignedOut():
        _live?.close();
      case SessionStale() || SessionUnknown():
    }
    _states.add(state);
  }

  static String _originOf(Uri url) {
    final isHttp = url.isScheme('http') || url.isScheme('https');
    if (isHttp && url.host.isNotEmpty) return url.origin;
    throw ArgumentError.value('$url', 'url', 'is not http://… or https://…');
  }
}

/// What the event stream knows of the session, and says of it.
final class _Listener implements LiveSession {
  const _Listener(this._client);

  final SessionClient _client;

  @override
  ({String token, String sid})? get current {
    final token = _client._core.held?.access;
    final sid = _client._core.session?.id;
    return token == null || sid == null ? null : (token: token, sid: sid);
  }

  @override
  void ended(String sid, String reason) {
    _client._live?.close();
    _client._core.ended(sid, reason).ignore();
  }

  @override
  void refused(String token, String reason) {
    final sent = _client._core.held;
    if (sent != null && sent.access == token) _client._core.refused(sent, reason).ignore();
  }
}
