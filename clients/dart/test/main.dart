// All that is run of the Dart libraries: `make test-clients` compiles it once.
import 'dart:io';

// Not run, but compiled.
// ignore: unused_import
import '../packages/session_gateway/example/main.dart' as example;
// ignore: unused_import
import '../packages/session_gateway_flutter/example/main.dart' as flutter_example;
import 'package:session_gateway_test/adapter.dart';
import 'package:session_gateway_test/contract.dart';
import 'package:session_gateway_test/gateway.dart';
import 'package:session_gateway_test/harness.dart';
import 'package:session_gateway_test/units.dart';

Future<void> main(List<String> args) async {
  final failed = switch (args) {
    ['contract', final directory] => await runContract(directory),
    ['gateway', final url, final user, final password] => await runTests({
        ...unitTests,
        ...gatewayTests(Gateway(url, user, password)),
        ...adapterTests(Gateway(url, user, password)),
      }),
    _ => throw ArgumentError('usage: contract DIRECTORY | gateway URL USER PASSWORD'),
  };
  exit(failed == 0 ? 0 : 1); // connections that are kept open would keep it running
}
