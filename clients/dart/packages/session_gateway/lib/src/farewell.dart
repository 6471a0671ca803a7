import 'clock.dart';
import 'record.dart';
import 'retry.dart';
import 'wire.dart';

/// Farewell tells the gateway of sign-outs, until it has heard of them. The tokens
/// wait in the store, so that the next start goes on.
final class Farewell {
  Farewell(this._wire, this._record, Clock clock, double Function() random)
      : _retry = Retry(clock, random);

  final Wire _wire;
  final Record _record;
  final Retry _retry;
  Future<void>? _running;
  var _isStopped = false;

  /// Makes an attempt, if one may be made; it is over when the result is there,
  /// whatever came of it.
  Future<void> send() {
    _isStopped = false;
    if (_retry.isForbidden) return Future.value();
    return _running ??= _send().whenComplete(() => _running = null);
  }

  void stop() {
    _isStopped = true;
    _retry.cancel();
  }

  Future<void> _send() async {
    _retry.cancel();
    while (true) {
      final token = (await _record.read()).signedOut.firstOrNull;
      if (token == null || _isStopped) return;
      final answer = await _wire.send(Call('POST', '/sessions/logout', token: token));
      if (_isStopped) return;
      if (answer case Failed(:final error)) {
        return _retry.later(error.retryAfter, const Duration(minutes: 5), send);
      }
      _retry.reset();
      await _record.write((was) => was.withSignedOut([...was.signedOut]..remove(token)));
    }
  }
}
