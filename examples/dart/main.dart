// An application on the console in the shape of a Flutter one: a splash screen, a login
// page, a home page, and a state that says which of them is shown. It goes with
// `make run`:
//
//     make example-dart
import 'dart:async';
import 'dart:convert';
import 'dart:io';

import 'package:session_gateway/io.dart';
import 'package:session_gateway/session_gateway.dart';

Future<void> main() async {
  final settings = await development();
  await Directory('.data').create();
  final client = SessionClient(
    baseUrl: settings['SESSIONGATE_URL']!,
    transport: IoTransport(),
    store: FileTokenStore('.data/example-dart.json'),
    device: const Device(name: 'my console', platform: 'dart'),
  );
  print('Sign in as ${settings['DEMO_USER']} with ${settings['DEMO_PASSWORD']}. '
      'Ended from elsewhere, the session is over here at once.');
  await App(client).run(stdin.transform(utf8.decoder).transform(const LineSplitter()));
  client.stop();
  exit(0);
}

/// Where `make run` listens, and who may sign in.
Future<Map<String, String>> development() async {
  final file = File('.data/dev.env');
  if (!file.existsSync()) {
    stderr.writeln('start the gateway first: make run');
    exit(1);
  }
  final line = RegExp(r"^(\w+)='?(.*?)'?$", multiLine: true);
  return {for (final m in line.allMatches(await file.readAsString())) m[1]!: m[2]!};
}

/// The application: shows the page that goes with the state, and hands it what is typed.
final class App {
  App(this.client);

  final SessionClient client;
  Page page = const Splash();

  Future<void> run(Stream<String> typed) async {
    client.states.listen(show);
    unawaited(client.start().then(show));
    await for (final line in typed) {
      if (line.trim() == 'q') return;
      try {
        await page.typed(line.trim(), client);
      } on SessionException catch (e) {
        print('  ${e.message} (${e.code})');
      }
      if (!show(client.state)) stdout.write(page.prompt);
    }
  }

  /// Shows the page that goes with the state, if it is not there already.
  bool show(SessionState state) {
    final next = switch (state) {
      SessionUnknown() => const Splash(),
      SignedOut(:final reason) => Login(reason),
      SessionActive() => const Home(isOffline: false),
      SessionStale() => const Home(isOffline: true),
    };
    if (next.title == page.title) return false;
    page = next;
    stdout.write('\n== ${page.title}\n${page.prompt}');
    return true;
  }
}

/// What a page shows, and does with what is typed.
sealed class Page {
  const Page();

  String get title;
  String get prompt;
  Future<void> typed(String line, SessionClient client);
}

final class Splash extends Page {
  const Splash();

  @override
  String get title => 'one moment';
  @override
  String get prompt => '';
  @override
  Future<void> typed(String line, SessionClient client) async {}
}

final class Login extends Page {
  const Login(this.reason);

  final String? reason;

  @override
  String get title => reason == null ? 'welcome' : 'signed out: $reason';
  @override
  String get prompt => 'identifier and password (q to quit): ';

  @override
  Future<void> typed(String line, SessionClient client) async {
    final at = line.indexOf(' ');
    if (at < 0) return print('  both, with a space between');
    await client.login(identifier: line.substring(0, at), password: line.substring(at + 1).trim());
  }
}

final class Home extends Page {
  const Home({required this.isOffline});

  final bool isOffline;

  @override
  String get title => isOffline ? 'signed in, off line' : 'signed in';
  @override
  String get prompt => '[d]evices, [l]og, [r]efresh, log [o]ut, log out [e]verywhere, [q]uit: ';

  @override
  Future<void> typed(String line, SessionClient client) async {
    client.touch(); // the user did something
    switch (line) {
      case 'd':
        for (final s in (await client.sessions()).sessions) {
          final seen = s.lastActivity.toLocal();
          print('  ${s.isCurrent ? '*' : ' '} ${s.deviceInfo}, ${s.ipAddress}, last seen $seen');
        }
      case 'l':
        for (final l in (await client.logs(limit: 10)).logs) {
          final result = l.success ? '' : '(failed) ';
          print('  ${l.createdAt.toLocal()} ${l.action} $result${l.reason ?? ''}');
        }
      case 'r':
        await client.refresh();
        print('  refreshed; the state is ${client.state}');
      case 'o':
        await client.logout();
      case 'e':
        print('  ${await client.logoutAll()} sessions have ended');
    }
  }
}
