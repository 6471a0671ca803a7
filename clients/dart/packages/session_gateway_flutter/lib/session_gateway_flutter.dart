/// Keeps the user of a Flutter application signed in through sessiongate. Begin with
/// [SessionService].
library;

export 'package:session_gateway/session_gateway.dart';

export 'session_service.dart';
export 'src/stores.dart';
