import 'dart:async';
import 'dart:convert';

import 'clock.dart';
import 'retry.dart';
import 'sse.dart';
import 'transport.dart';
import 'wire.dart';

/// After so long without a byte a stream is taken for dead; heartbeats are three
/// times as often.
const _silence = Duration(seconds: 45);

/// What a stream needs of the session, and does to it.
abstract interface class LiveSession {
  /// The token to ask with and the session's id; null if there is none now.
  ({String token, String sid})? get current;

  /// The session has ended.
  void ended(String sid, String reason);

  /// The token is no good.
  void refused(String token, String reason);
}

/// Live listens to GET /sessions/events, so that a sign-out from elsewhere arrives at
/// once.
final class Live {
  Live(this._wire, this._clock, double Function() random, this._session)
      : _retry = Retry(_clock, random);

  final Wire _wire;
  final Clock _clock;
  final LiveSession _session;
  final Retry _retry;

  /// The one that counts.
  _Attempt? _attempt;
  var _isOff = false;

  /// Listens from now on, if it does not already.
  void open() {
    if (_attempt == null && !_retry.isWaiting && !_isOff) _listen();
  }

  /// Listens no more.
  void close() {
    _retry.reset();
    _attempt?.end();
    _attempt = null;
  }

  /// Comes back at once, if it is waiting to, and may.
  void hurry() {
    if (_retry.isWaiting && !_retry.isForbidden) _listen();
  }

  Future<void> _listen() async {
    _retry.cancel();
    final who = _session.current;
    if (who == null) return;
    final attempt = _attempt = _Attempt(_clock)..watch();
    Duration? told;
    try {
      told = await _attend(who, attempt);
    } catch (_) {
      // Broken, or given up.
    }
    attempt.end();
    if (!identical(_attempt, attempt)) return;
    _attempt = null;
    if (!_isOff) _retry.later(told, const Duration(seconds: 30), _listen);
  }

  /// Follows the stream to its end. It returns a Retry-After.
  Future<Duration?> _attend(({String token, String sid}) who, _Attempt attempt) async {
    final call = Call('GET', '/sessions/events', token: who.token);
    final r = await attempt.whileOn(_wire.request(call, attempt.ended));
    if (r.status != 200) {
      final answer = await attempt.whileOn(_wire.judge(r, attempt.ended));
      if (answer is! Failure) return null;
      if (answer is Refused) _session.refused(who.token, answer.reason);
      _isOff = answer.error.status == 404;
      return answer.error.retryAfter;
    }
    if (r.headers['content-type']?.startsWith('text/event-stream') ?? false) {
      await _follow(r, who.sid, attempt);
    } else {
      r.body.listen(null).cancel().ignore();
    }
    return null;
  }

  /// Reads events until the stream ends, breaks or is given up.
  Future<void> _follow(TransportResponse r, String sid, _Attempt attempt) {
    final over = Completer<void>();
    final events = EventReader();
    late final StreamSubscription<List<int>> subscription;
    void finish([Object? _]) {
      subscription.cancel().ignore();
      if (!over.isCompleted) over.complete();
    }

    subscription = r.body.listen(
      (bytes) {
        if (attempt.isOver) return;
        attempt.watch();
        try {
          for (final e in events.push(bytes)) {
            _event(e, sid);
          }
        } on FormatException {
          finish();
        }
      },
      onError: finish,
      onDone: finish,
    );
    attempt.ended.then(finish);
    return over.future;
  }

  void _event(ServerEvent e, String sid) {
    if (e.name == 'hello') _retry.reset();
    if (e.name != 'ended') return;
    final Object? data = jsonDecode(e.data);
    if (data is! Map<String, Object?> || data['sid'] != sid) return;
    final reason = data['reason'];
    _session.ended(
      sid,
      reason is String && reason.isNotEmpty ? reason : 'logged_out_or_revoked',
    );
  }
}

/// One connection, from the request to the end of its answer.
final class _Attempt {
  _Attempt(this._clock);

  final Clock _clock;
  final _over = Completer<void>();
  void Function()? _cancelTimer;

  Future<void> get ended => _over.future;
  bool get isOver => _over.isCompleted;

  /// Ends it if nothing is heard for too long from now on.
  void watch() {
    _cancelTimer?.call();
    if (!isOver) _cancelTimer = _clock.after(_silence, end);
  }

  void end() {
    _cancelTimer?.call();
    if (!isOver) _over.complete();
  }

  /// What [future] gives, unless this is over before.
  Future<T> whileOn<T>(Future<T> future) {
    final result = Completer<T>();
    future.then(
      (v) => result.isCompleted ? null : result.complete(v),
      onError: (Object e) => result.isCompleted ? null : result.completeError(e),
    );
    ended.then((_) => result.isCompleted ? null : result.completeError(StateError('given up')));
    return result.future;
  }
}
