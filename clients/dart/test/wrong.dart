// Does not compile: scripts/test-dart.mjs sees that what is wrong with an application's
// use of the adapter is found, so that the adapter's compiling means something.
import 'package:session_gateway_flutter/session_gateway_flutter.dart';

Future<void> main() async {
  final bool isActive = await SessionService.getSessionStatus();
  final String url = SessionService.logout();
  SessionService.configure(store: 'preferences');
  SessionService.getUserSession();
  print('$isActive $url');
}
