/// Keeps users signed in through sessiongate: refreshes tokens, survives lost networks
/// and wrong clocks, signs out at once. Begin with [SessionClient].
library;

export 'src/client.dart' show SessionClient;
export 'src/clock.dart' show Clock, SystemClock;
export 'src/exception.dart' show SessionException;
export 'src/models.dart';
export 'src/state.dart';
export 'src/store.dart';
export 'src/transport.dart';
