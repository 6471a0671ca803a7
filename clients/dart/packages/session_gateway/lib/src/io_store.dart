import 'dart:io';

import 'store.dart';

/// Keeps the session in a file that only the user can read, for programs of the
/// command line. It writes a new file and puts it in the old one's place, so that a
/// program that is killed meanwhile leaves one or the other.
final class FileTokenStore implements TokenStore {
  /// The file may be missing; its directory may not.
  FileTokenStore(this._path);

  final String _path;

  @override
  Future<String?> read() async {
    try {
      return await File(_path).readAsString();
    } on PathNotFoundException {
      return null;
    }
  }

  @override
  Future<void> write(String text) async {
    final next = File('$_path.$pid.new');
    await next.writeAsString('', flush: true);
    if (!Platform.isWindows) {
      final r = await Process.run('chmod', ['600', next.path]);
      if (r.exitCode != 0) throw FileSystemException('chmod: ${r.stderr}', next.path);
    }
    await next.writeAsString(text, flush: true);
    await next.rename(_path);
  }

  @override
  Future<void> delete() async {
    try {
      await File(_path).delete();
    } on PathNotFoundException {
      // It was not there.
    }
  }
}
