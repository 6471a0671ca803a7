import 'dart:convert';
import 'dart:io';

import 'world.dart';

/// Puts the client through all vectors in [directory] and prints a line of JSON for
/// each. It returns how many failed.
Future<int> runContract(String directory) async {
  Json read(String name) => jsonDecode(File('$directory/$name').readAsStringSync()) as Json;
  final answers = read('answers.json')['answers']! as Json;
  final names = [
    for (final f in Directory(directory).listSync()) f.uri.pathSegments.last,
  ]..sort();
  var failed = 0;
  for (final name in names) {
    if (!name.endsWith('.json') || name == 'answers.json' || name == 'schema.json') continue;
    for (final vector in (read(name)['vectors']! as List).cast<Json>()) {
      final watch = Stopwatch()..start();
      final line = <String, Object?>{'client': 'dart', 'vector': vector['name'], 'ok': true};
      try {
        await runVector(vector, answers);
      } catch (e) {
        failed++;
        line
          ..['ok'] = false
          ..['error'] = e is StateError ? e.message : '$e';
      }
      print(jsonEncode({...line, 'ms': watch.elapsedMilliseconds}));
    }
  }
  return failed;
}
