import 'dart:async';

/// Where the session is kept over restarts: one text.
abstract interface class TokenStore {
  /// The text, or null.
  Future<String?> read();

  /// Takes the place of what was there. It is stored when the future completes.
  Future<void> write(String text);

  /// Removes the text.
  Future<void> delete();
}

/// Keeps the session for as long as the program lives.
final class MemoryTokenStore implements TokenStore {
  String? _text;

  @override
  Future<String?> read() async => _text;

  @override
  Future<void> write(String text) async => _text = text;

  @override
  Future<void> delete() async => _text = null;
}
