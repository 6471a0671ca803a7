import 'clock.dart';

/// Retry is when to try again: later after each failure, and not before a gateway
/// has said that it may be asked.
final class Retry {
  Retry(this._clock, this._random);

  final Clock _clock;
  final double Function() _random;
  var _failures = 0;
  var _notBefore = longAgo;
  void Function()? _cancel;

  /// Whether a try is waiting for its time.
  bool get isWaiting => _cancel != null;

  /// Whether a Retry-After forbids to ask now.
  bool get isForbidden => _clock.now() < _notBefore;

  /// Calls [run] when the next try may be made. [told] is the Retry-After.
  void later(Duration? told, Duration longest, void Function() run) {
    _failures++;
    final delay =
        told == null ? retryDelay(_failures, longest, _random()) : toldDelay(told, _random());
    if (told != null) _notBefore = _clock.now() + delay;
    cancel();
    _cancel = _clock.after(delay, () {
      _cancel = null;
      _notBefore = longAgo;
      run();
    });
  }

  /// Makes no try; how many there were, and what was told, counts on.
  void cancel() {
    _cancel?.call();
    _cancel = null;
  }

  /// There was an answer: nothing counts any more.
  void reset() {
    cancel();
    _failures = 0;
    _notBefore = longAgo;
  }
}
