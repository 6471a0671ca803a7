import 'package:flutter/widgets.dart';
import 'package:flutter_secure_storage/flutter_secure_storage.dart';
import 'package:session_gateway/io.dart';
import 'package:session_gateway_flutter/session_gateway_flutter.dart';
import 'package:shared_preferences/shared_preferences.dart';

import 'gateway.dart';
import 'harness.dart';

/// The Flutter adapter on made-up plugins and a made-up Flutter (stubs/), and the real
/// gateway.
Tests adapterTests(Gateway gateway) => {
      'the service, as the guide has it': () => _guide(gateway),
      'the service, with a secure store': () => _secure(gateway),
      'the service, without an address': _withoutAddress,
    };

Future<void> _guide(Gateway gateway) async {
  final net = Recording();
  final time = Ahead();
  SessionService.configure(baseUrl: gateway.url, live: false, transport: net, clock: time);
  await SessionService.initializeSessionMonitoring();
  expect(await SessionService.shouldStayLoggedIn(), false, 'whether to stay before the sign-in');
  await SessionService.login(identifier: gateway.user, password: gateway.password);
  expect(await SessionService.shouldStayLoggedIn(), true, 'whether to stay');
  final status = await SessionService.getSessionStatus();
  final sessions = await SessionService.getUserSessions();
  final id = status.session.id;
  check(sessions.any((s) => s.isCurrent && s.id == id), 'the session is in the list');
  await SessionService.getSessionLogs(limit: 5);
  final token = await SessionService.client.accessToken();
  check(_preferences()!.contains(token!), 'it is in the preferences');

  // The application restarts.
  SessionService.dispose();
  SessionService.configure(baseUrl: gateway.url, live: false, transport: net, clock: time);
  await SessionService.initializeSessionMonitoring();
  expect(await SessionService.shouldStayLoggedIn(), true, 'whether to stay after a restart');

  // In the background for two minutes: the gateway is asked when it is back.
  net.paths.clear();
  WidgetsBinding.instance.handleAppLifecycleStateChanged(AppLifecycleState.paused);
  time.ahead += const Duration(minutes: 2);
  WidgetsBinding.instance.handleAppLifecycleStateChanged(AppLifecycleState.resumed);
  await until('the question', () => net.paths.isNotEmpty);

  await SessionService.logout();
  expect(await SessionService.shouldStayLoggedIn(), false, 'whether to stay after the sign-out');
  expect(_preferences(), null, 'what is stored after the sign-out');
  await SessionService.login(identifier: gateway.user, password: gateway.password);
  check(await SessionService.logoutAllDevices() >= 1, 'a session has ended');
  expect(time.running, 0, 'how many timers run after the sign-out');
  SessionService.dispose();
}

Future<void> _secure(Gateway gateway) async {
  SessionService.configure(baseUrl: gateway.url, live: false, store: const SecureTokenStore());
  await SessionService.login(identifier: gateway.user, password: gateway.password);
  check(FlutterSecureStorage.stub.containsKey('sessiongate'), 'it is in the secure storage');
  expect(_preferences(), null, 'what the preferences have');
  await SessionService.logout();
  expect(FlutterSecureStorage.stub.length, 0, 'how much is stored after the sign-out');
  SessionService.dispose();
}

Future<void> _withoutAddress() async {
  final e = await failure<StateError>(SessionService.initializeSessionMonitoring);
  check(e.message.contains('SESSION_GATEWAY_URL'), 'the error says what is missing');
}

/// What the preferences have under the adapter's name.
String? _preferences() => SharedPreferencesAsync.stub['sessiongate'];

/// A transport that remembers what was asked.
final class Recording implements Transport {
  final _transport = IoTransport();
  final paths = <String>[];

  @override
  Future<TransportResponse> send(TransportRequest request, {Future<void>? abort}) {
    paths.add(request.url.path);
    return _transport.send(request, abort: abort);
  }
}

/// A clock that can be put ahead, and counts its timers.
final class Ahead implements Clock {
  final _clock = SystemClock();
  var ahead = Duration.zero;
  var running = 0;

  @override
  Duration now() => _clock.now() + ahead;

  @override
  DateTime wall() => _clock.wall().add(ahead);

  @override
  void Function() after(Duration delay, void Function() run) {
    running++;
    var isOver = false;
    void end() {
      if (!isOver) running--;
      isOver = true;
    }

    final cancel = _clock.after(delay, () {
      end();
      run();
    });
    return () {
      end();
      cancel();
    };
  }
}
