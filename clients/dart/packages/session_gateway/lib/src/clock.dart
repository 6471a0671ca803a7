import 'dart:async';
import 'dart:math' as math;

/// Time that only goes forward, the time of day, and timers.
abstract interface class Clock {
  /// What has passed since some moment. It only goes forward.
  Duration now();

  /// The time of day, as the device has it; it may be wrong, or be set.
  DateTime wall();

  /// Calls [run] once, after [delay]. The result cancels it.
  void Function() after(Duration delay, void Function() run);
}

/// The system's clocks.
final class SystemClock implements Clock {
  /// Starts counting.
  SystemClock() : _watch = Stopwatch()..start();

  final Stopwatch _watch;

  /// The longest that a timer of the web can wait; it takes more for none at all.
  static const _longest = Duration(milliseconds: 0x7fffffff);

  @override
  Duration now() => _watch.elapsed;

  @override
  DateTime wall() => DateTime.now();

  @override
  void Function() after(Duration delay, void Function() run) =>
      Timer(delay < _longest ? delay : _longest, run).cancel;
}

/// Longer than anything lasts; as a moment, one that never comes.
const never = Duration(days: 36500);

/// A moment long ago.
const longAgo = Duration(days: -36500);

/// How long to wait before the next try after so many [failures] in a row, at least 1.
Duration retryDelay(int failures, Duration longest, double random) {
  final exponent = math.min(failures - 1, 20);
  final most = math.min(500000 * math.pow(2, exponent), longest.inMicroseconds);
  return Duration(microseconds: (most * (0.5 + random / 2)).round());
}

/// How long to wait when [told] to: not everybody should be back at once.
Duration toldDelay(Duration told, double random) => told * (1 + random / 2);
