import 'package:session_gateway_flutter/session_gateway_flutter.dart';

/// What the main() of an application does before runApp.
Future<void> main() async {
  SessionService.configure(
    baseUrl: 'https://auth.example.com',
    store: const SecureTokenStore(),
    device: const Device(name: 'My phone', platform: 'android'),
    apiOrigins: ['https://api.example.com'],
  );
  await SessionService.initializeSessionMonitoring();
  SessionService.states.listen((state) {
    if (state is SignedOut) showLogin(why: state.reason);
  });
  final shouldStayLoggedIn = await SessionService.shouldStayLoggedIn();
  if (shouldStayLoggedIn) {
    await showHome();
  } else {
    showLogin();
  }
}

/// Stands for the application's login page.
void showLogin({String? why}) => print('please sign in (${why ?? 'welcome'})');

/// Stands for the application's page of devices.
Future<void> showHome() async {
  final status = await SessionService.getSessionStatus();
  print('signed in as ${status.session.userId}');
  for (final s in await SessionService.getUserSessions()) {
    print('${s.deviceInfo}, from ${s.ipAddress}');
  }
  for (final l in await SessionService.getSessionLogs(limit: 20)) {
    print('${l.createdAt} ${l.action}');
  }
}
