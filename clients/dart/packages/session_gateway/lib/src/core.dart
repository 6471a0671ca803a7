import 'dart:async';

import 'clock.dart';
import 'epoch.dart';
import 'exception.dart';
import 'models.dart';
import 'record.dart';
import 'retry.dart';
import 'state.dart';
import 'wire.dart';

/// A token with less left is not handed out while another one can be had.
const _margin = Duration(seconds: 60);

/// A new token is not refreshed sooner, whatever the answer says.
const _leastDue = Duration(seconds: 5);

/// How long an answer of the gateway is fresh: neither resume nor a 401 asks again.
const fresh = Duration(seconds: 60);

/// What to ask the gateway.
enum Want { status, refresh }

/// Core is the session: who is signed in, with what, and what the gateway said of it.
/// clients/contract/README.md says how it behaves, and the vectors hold it to that.
final class Core {
  Core(
    this._wire,
    this._record,
    this._clock,
    double Function() random,
    this._longestRefresh,
    this._changed,
  ) : _retry = Retry(_clock, random);

  final Wire _wire;
  final Record _record;
  final Clock _clock;
  final Retry _retry;

  /// A refresh is due so long after an answer at the latest.
  final Duration? _longestRefresh;
  final void Function() _changed;

  SessionState state = const SessionUnknown();
  Held? held;

  /// Grows with each token.
  var rotation = 0;

  /// When the token came; long ago if that is not known.
  var obtained = longAgo;
  var touched = false;

  var _countsIdle = false;
  var _due = never;
  var _good = never;
  var _heard = longAgo;
  var _heardWall = DateTime.utc(0);
  var _want = Want.status;
  void Function()? _cancelTimer;
  Future<void>? _running;

  /// The last sign-in or sign-out: over when it is in the state.
  Future<void> _turn = Future.value();
  var _toldActive = false;
  var _ranOut = 'expired';
  var _epoch = Epoch();

  /// What was begun before this is over counts no more.
  Epoch get epoch => _epoch;

  /// Whether there is time left, on the gateway's word, for more than a request.
  bool get isRoomy => _good - _clock.now() > _margin;
  bool get isDue => _clock.now() >= _due;
  bool get isRetrying => _retry.isWaiting;
  bool get hasWaited =>
      _clock.now() - _heard >= fresh || _clock.wall().difference(_heardWall).abs() >= fresh;

  Session? get session => switch (state) {
        SessionActive(:final session) => session,
        SessionStale(:final session) => session,
        _ => null,
      };

  /// Takes what is stored, and asks the gateway about it.
  Future<void> begin() async {
    final epoch = _epoch;
    final stored = (await _record.read()).held;
    if (epoch.isOver) return;
    if (stored == null) return _publish(const SignedOut());
    _take(stored);
    await sync(Want.status);
  }

  /// Takes what is stored, and asks nobody.
  Future<void> load() async {
    if (state is! SessionUnknown || held != null) return;
    final stored = (await _record.read()).held;
    if (stored != null && held == null) _take(stored);
  }

  /// Asks the gateway, once for all who want it at the same time. It never fails: what
  /// became of it is in the state.
  Future<void> sync(Want want) {
    if (_running case final running?) return running;
    if (held == null || _retry.isForbidden) return Future.value();
    _stopTimers();
    final epoch = _epoch;
    final over = Completer<void>();
    final forget = epoch.onEnd(over.complete);
    final running = _running = over.future.then((_) => _turn);
    _exchange(want, epoch).whenComplete(() {
      if (epoch.isOver) return; // the end of the epoch has told the callers
      forget();
      _running = null;
      over.complete();
      if (isDue && !isRetrying) sync(Want.refresh);
    });
    return running;
  }

  /// Makes the next try at once, if one is waiting and may be made.
  Future<void> hurry() => isRetrying ? sync(_want) : Future.value();

  /// A session begins, or takes the place of another one.
  Future<void> open(Grant grant) => _turn = _open(grant);

  Future<void> _open(Grant grant) async {
    final at = _clock.now();
    _void();
    final epoch = _epoch;
    final next = _heldOf(grant, null);
    await _record.write((was) => was.withHeld(next));
    if (!epoch.isOver) _got(next, grant, at);
  }

  /// The session ends. [signedOut] is a token that the gateway has to be told of.
  Future<void> end(String reason, {String? signedOut}) => _turn = _end(reason, signedOut);

  Future<void> _end(String reason, String? signedOut) async {
    final mine = held;
    final sid = held?.sid ?? session?.id;
    _void();
    final epoch = _epoch;
    held = null;
    await _record.write((was) {
      final stored = was.held;
      final isMine = Held.same(stored, mine) || (sid != null && stored?.sid == sid);
      final isOver = stored != null && isMine;
      if (!isOver && signedOut == null) return was;
      return Content(isOver ? null : stored, [...was.signedOut, if (signedOut != null) signedOut]);
    });
    if (!epoch.isOver) _publish(SignedOut(reason)); // else somebody has signed in meanwhile
  }

  /// Leaves everything as it is, and does nothing more.
  void stop() => _void();

  /// The gateway has refused a token on another way; [sent] is the one.
  Future<void> refused(Held sent, String reason) async {
    final epoch = _epoch;
    final next = await _refuse(sent, reason, epoch);
    if (next != null && !epoch.isOver) await sync(next);
  }

  /// The session of this id has ended, whatever token it has by now.
  Future<void> ended(String sid, String reason) async {
    final mine = held;
    if (mine == null || session?.id != sid) return;
    await (reason == 'expired' ? refused(mine, reason) : end(reason));
  }

  Future<void> _exchange(Want want, Epoch epoch) async {
    Want? next = want;
    for (var turn = 0; turn < 4 && next != null; turn++) {
      final stored = (await _record.read()).held;
      if (epoch.isOver) return;
      if (stored == null) return end('signed_out'); // by another instance
      if (!Held.same(stored, held)) {
        _take(stored);
        next = Want.status;
      }
      final sent = held!;
      final answer = await _ask(sent, next, epoch);
      if (epoch.isOver) return;
      next = await _settle(sent, next, answer, epoch);
      if (epoch.isOver) return;
    }
    if (next != null) _fail(next, const SessionException.foreign());
  }

  Future<Answer> _ask(Held sent, Want want, Epoch epoch) {
    final access = sent.access;
    if (access == null) {
      final body = {'refresh_token': sent.refresh, ..._wire.device};
      return _wire.send(Call('POST', '/sessions/resume', body: body), epoch: epoch);
    }
    if (want == Want.status) {
      return _wire.send(Call('GET', '/sessions/status', token: access), epoch: epoch);
    }
    final active = _toldActive = touched && _countsIdle;
    if (active) touched = false;
    final body = active ? const {'active': true} : null;
    return _wire.send(Call('POST', '/sessions/refresh', token: access, body: body), epoch: epoch);
  }

  /// Draws the conclusion from an answer. It returns what to ask next, if anything.
  Future<Want?> _settle(Held sent, Want want, Answer answer, Epoch epoch) async {
    final at = _clock.now();
    switch (answer) {
      case Refused(:final reason):
        return _refuse(sent, reason, epoch);
      case Failed(:final error) when sent.access == null && error.isFinal:
        await end(error.code == 'not_found' ? _ranOut : error.code);
      case Failed(:final error):
        _fail(want, error);
      case Done(:final body):
        final isStatus = want == Want.status && sent.access != null;
        final grant = Grant.parse(body, needsToken: !isStatus);
        if (grant == null) {
          _fail(want, const SessionException.foreign());
        } else if (isStatus) {
          _heardOf(grant, grant.refreshAfter, at);
        } else {
          return _commit(sent, grant, at, epoch);
        }
    }
    return null;
  }

  /// Stores a successor, and only then uses it.
  Future<Want?> _commit(Held sent, Grant grant, Duration at, Epoch epoch) async {
    final next = _heldOf(grant, sent);
    Held? stored = next;
    await _record.write((was) {
      if (Held.same(was.held, sent)) return was.withHeld(next);
      stored = was.held?.access == next.access ? next : was.held;
      return was;
    });
    if (epoch.isOver) return null;
    final now = stored;
    if (now == null) {
      await end('signed_out');
      return null;
    }
    if (identical(now, next)) {
      _got(next, grant, at);
      return null;
    }
    _take(now); // another instance was faster, or somebody else has signed in
    return Want.status;
  }

  Future<Want?> _refuse(Held sent, String reason, Epoch epoch) async {
    final stored = (await _record.read()).held;
    if (epoch.isOver) return null;
    if (stored != null && !Held.same(stored, sent)) {
      _take(stored);
      return Want.status;
    }
    final hasRunOut = reason == 'expired' || reason == 'superseded';
    if (!hasRunOut || sent.access == null || sent.refresh == null || stored == null) {
      await end(stored == null ? 'signed_out' : reason);
      return null;
    }
    final rest = sent.remembered;
    await _record.write((was) => Held.same(was.held, sent) ? was.withHeld(rest) : was);
    if (epoch.isOver) return null;
    _ranOut = reason;
    _take(rest);
    return Want.refresh;
  }

  void _fail(Want want, SessionException error) {
    if (_toldActive) touched = true; // nobody heard
    _toldActive = false;
    final longest = Duration(seconds: _clock.now() < _good ? 30 : 300);
    _stopTimers();
    _want = want;
    _retry.later(error.retryAfter, longest, () => sync(want));
    _publish(SessionStale(session));
  }

  void _got(Held next, Grant grant, Duration at) {
    _take(next);
    obtained = at;
    _heardOf(grant, grant.refreshAfter < _leastDue ? _leastDue : grant.refreshAfter, at);
  }

  /// The gateway's word on the session as it is.
  void _heardOf(Grant grant, Duration refreshAfter, Duration at) {
    _stopTimers();
    _retry.reset();
    _heard = at;
    _heardWall = _clock.wall();
    _good = at + grant.expiresIn;
    final longest = _longestRefresh;
    _due = at + (longest != null && longest < refreshAfter ? longest : refreshAfter);
    _countsIdle = grant.countsIdle;
    _toldActive = false;
    final wait = _due - _clock.now();
    if (wait > Duration.zero) _cancelTimer = _clock.after(wait, () => sync(Want.refresh));
    _publish(SessionActive(grant.session));
  }

  void _take(Held next) {
    if (next.access != held?.access) rotation++;
    held = next;
    _due = _good = never; // until the gateway says
  }

  static Held _heldOf(Grant grant, Held? before) => Held(
        access: grant.access,
        refresh: grant.refresh ?? before?.refresh,
        sid: grant.session.id,
        expiresAt: grant.expiresAt,
      );

  /// Nothing that is under way counts any more.
  void _void() {
    _stopTimers();
    _retry.reset();
    _running = null;
    _due = _good = never;
    final over = _epoch;
    _epoch = Epoch();
    over.end();
  }

  void _stopTimers() {
    _cancelTimer?.call();
    _cancelTimer = null;
    _retry.cancel();
  }

  void _publish(SessionState next) {
    final isSame = switch ((state, next)) {
      (SignedOut(reason: final a), SignedOut(reason: final b)) => a == b,
      (SessionActive(session: final a), SessionActive(session: final b)) => identical(a, b),
      (SessionStale(session: final a), SessionStale(session: final b)) => identical(a, b),
      _ => false,
    };
    if (isSame) return;
    state = next;
    _changed();
  }
}
