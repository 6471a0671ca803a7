import 'dart:async';

typedef Tests = Map<String, Future<void> Function()>;

/// How long a test may take; the machine may be busy.
const _patience = Duration(minutes: 3);

/// Runs tests one after the other and says what came of them. It returns how many
/// failed.
Future<int> runTests(Tests tests) async {
  var failed = 0;
  for (final MapEntry(key: name, value: test) in tests.entries) {
    final watch = Stopwatch()..start();
    try {
      await test().timeout(_patience);
      print('ok - $name (${watch.elapsedMilliseconds} ms)');
    } catch (e, trace) {
      failed++;
      print('not ok - $name: $e\n$trace');
    }
  }
  print('dart: ${tests.length - failed} passed, $failed failed');
  return failed;
}

void expect(Object? got, Object? want, String what) {
  if (got != want) throw StateError('$what is $got, want $want');
}

void check(bool isSo, String what) {
  if (!isSo) throw StateError('not so: $what');
}

/// The error of type [E] that [run] fails with.
Future<E> failure<E extends Object>(FutureOr<Object?> Function() run) async {
  try {
    await run();
  } on E catch (e) {
    return e;
  }
  throw StateError('it did not fail');
}

/// Waits until something is so.
Future<void> until(String what, FutureOr<bool> Function() isSo) async {
  final watch = Stopwatch()..start();
  while (!await isSo()) {
    if (watch.elapsed > const Duration(minutes: 1)) throw StateError('still waiting for $what');
    await Future<void>.delayed(const Duration(milliseconds: 10));
  }
}
