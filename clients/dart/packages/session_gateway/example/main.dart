import 'dart:io';

import 'package:session_gateway/io.dart';
import 'package:session_gateway/session_gateway.dart';

/// Signs in, or goes on with the session of the last run, and lists the user's devices.
Future<void> main(List<String> args) async {
  if (args.length != 3) {
    stderr.writeln('usage: main.dart https://auth.example.com IDENTIFIER PASSWORD');
    exit(64);
  }
  final [url, identifier, password] = args;
  final client = SessionClient(
    baseUrl: url,
    transport: IoTransport(),
    store: FileTokenStore('session.json'),
    device: const Device(name: 'an example', platform: 'dart'),
  );
  client.states.listen((state) => print('now $state'));

  var state = await client.start();
  if (state is SignedOut) {
    state = await client.login(identifier: identifier, password: password);
  }
  print(switch (state) {
    SessionActive(:final session) => 'signed in as ${session.userId}',
    SessionStale() => 'signed in; the gateway is away',
    SignedOut() || SessionUnknown() => 'signed out',
  });
  for (final s in (await client.sessions()).sessions) {
    final mark = s.isCurrent ? '*' : ' ';
    print('$mark ${s.deviceInfo}, from ${s.ipAddress}, last seen ${s.lastActivity}');
  }
  exit(0);
}
