import 'dart:async';

import 'package:flutter/widgets.dart';
import 'package:session_gateway/io.dart';
import 'package:session_gateway/session_gateway.dart';

import 'src/stores.dart';

/// The session of the application. There is one, as there is one user.
///
/// The gateway's address is given to [configure], or at build time:
/// `--dart-define=SESSION_GATEWAY_URL=https://auth.example.com`.
abstract final class SessionService {
  /// The longest that a token is used before it is refreshed: five minutes before its
  /// time is over. The gateway may want it sooner.
  static const int _refreshIntervalMinutes = 25; // Change this value

  static const _urlOfBuild = String.fromEnvironment('SESSION_GATEWAY_URL');

  static SessionClient? _client;
  static _Foreground? _foreground;

  /// Says where the gateway is, where tokens are kept, and what users call the device.
  /// Call it before everything else, and again only after [dispose].
  ///
  /// [store] is a [SharedPreferencesTokenStore] unless told; prefer a
  /// [SecureTokenStore]. [apiOrigins] get the token with [SessionClient.send], beside
  /// the gateway. [transport] and [clock] are for tests, and for surroundings without
  /// dart:io.
  static void configure({
    String baseUrl = _urlOfBuild,
    TokenStore? store,
    Device? device,
    Iterable<String> apiOrigins = const [],
    bool live = true,
    Transport? transport,
    Clock? clock,
  }) {
    if (_client != null) throw StateError('SessionService is configured already.');
    if (baseUrl.isEmpty) {
      throw StateError(
        'Where is the gateway? Call SessionService.configure(baseUrl: …), '
        'or build with --dart-define=SESSION_GATEWAY_URL=….',
      );
    }
    _client = SessionClient(
      baseUrl: baseUrl,
      transport: transport ?? IoTransport(),
      store: store ?? SharedPreferencesTokenStore(),
      device: device,
      apiOrigins: apiOrigins,
      live: live,
      refreshInterval: const Duration(minutes: _refreshIntervalMinutes),
      clock: clock,
    );
  }

  /// The client beneath, for what has no method here.
  static SessionClient get client {
    if (_client == null) configure();
    return _client!;
  }

  /// Every change: show the login page in [SignedOut].
  static Stream<SessionState> get states => client.states;

  /// Takes up the stored session, keeps it fresh from then on, and asks the gateway
  /// again when the application comes back to the foreground.
  static Future<void> initializeSessionMonitoring() async {
    final binding = WidgetsFlutterBinding.ensureInitialized();
    if (_foreground == null) binding.addObserver(_foreground = _Foreground(client));
    await client.start();
  }

  /// Whether the user is signed in, as far as is known: also without a network.
  static Future<bool> shouldStayLoggedIn() async => (await client.start()).isSignedIn;

  /// Signs the user in. Fails with a [SessionException].
  static Future<void> login({
    required String identifier,
    required String password,
    bool remember = false,
  }) =>
      client.login(identifier: identifier, password: password, remember: remember);

  /// Signs out on this device: the token is cleared and the timer stopped at once,
  /// also without a network; the gateway is told as soon as it can be reached.
  static Future<void> logout() => client.logout();

  /// Signs out on all devices. Gives how many sessions have ended; fails with a
  /// [SessionException], and changes nothing, if the gateway can't be asked.
  static Future<int> logoutAllDevices() => client.logoutAll();

  /// What the gateway says of the session now.
  static Future<SessionStatus> getSessionStatus() => client.status();

  /// The sessions that the user has open, the newest first.
  static Future<List<Session>> getUserSessions({int? limit}) async =>
      (await client.sessions(limit: limit)).sessions;

  /// What happened to the user's sessions, the newest first.
  static Future<List<LogEntry>> getSessionLogs({int? limit}) async =>
      (await client.logs(limit: limit)).logs;

  /// Lets go of the session, without signing out: timers and streams end.
  static void dispose() {
    if (_foreground case final f?) WidgetsBinding.instance.removeObserver(f);
    _foreground = null;
    _client?.stop();
    _client = null;
  }
}

/// Notices that the application is in the foreground again.
final class _Foreground with WidgetsBindingObserver {
  _Foreground(this._client);

  final SessionClient _client;

  @override
  void didChangeAppLifecycleState(AppLifecycleState state) {
    if (state == AppLifecycleState.resumed) unawaited(_client.resume());
  }
}
