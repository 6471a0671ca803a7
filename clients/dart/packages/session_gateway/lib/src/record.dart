import 'dart:convert';

import 'store.dart';

/// What is stored of a session. All clients of sessiongate have the same form.
final class Held {
  const Held({this.access, this.refresh, this.sid, this.expiresAt});

  final String? access;
  final String? refresh;
  final String? sid;

  /// The gateway's text; only ever compared with another one of the same session.
  final String? expiresAt;

  /// Without the token whose time ran out.
  Held get remembered => Held(refresh: refresh, sid: sid, expiresAt: expiresAt);

  /// Whether both are the same rotation of the same session.
  static bool same(Held? a, Held? b) => a?.access == b?.access && a?.refresh == b?.refresh;
}

/// A store's content: the session, and tokens that the gateway has not been told of.
final class Content {
  const Content(this.held, this.signedOut);

  static const nothing = Content(null, []);

  final Held? held;
  final List<String> signedOut;

  Content withHeld(Held? held) => Content(held, signedOut);
  Content withSignedOut(List<String> signedOut) => Content(held, signedOut);
}

/// The most sign-outs that wait for a network.
const _maxSignedOut = 5;

/// Record reads and writes a session. A store that fails loses the session at the
/// next start, and nothing before: what was known last is remembered here.
final class Record {
  Record(this._store);

  final TokenStore _store;
  var _known = Content.nothing;

  /// What was to be written, while it isn't.
  Content? _unwritten;

  /// The last write: whatever follows waits for it.
  Future<void> _writing = Future.value();

  Future<Content> read() async {
    await _writing;
    return _look();
  }

  /// Writes what [change] makes of what is there. It never fails.
  Future<void> write(Content Function(Content was) change) =>
      _writing = _writing.then((_) => _write(change));

  Future<void> _write(Content Function(Content was) change) async {
    final was = await _look();
    final now = change(was);
    if (identical(now, was)) return;
    _known = _unwritten = now;
    try {
      if (now.held != null || now.signedOut.isNotEmpty) {
        await _store.write(_format(now));
      } else {
        await _store.delete();
      }
      _unwritten = null;
    } catch (_) {
      // Full, or forbidden: it lives on in memory.
    }
  }

  Future<Content> _look() async {
    if (_unwritten case final unwritten?) return unwritten;
    try {
      _known = _parse(await _store.read());
    } catch (_) {
      // Locked, for now: what can't be read is not what is not there.
    }
    return _known;
  }
}

Content _parse(String? text) {
  if (text == null || text.isEmpty) return Content.nothing;
  final Object? v;
  try {
    v = jsonDecode(text);
  } on FormatException {
    return Content.nothing;
  }
  if (v is! Map<String, Object?> || v['v'] != 1) return Content.nothing;
  final access = _textOf(v['access_token']);
  final refresh = _textOf(v['refresh_token']);
  final list = v['signed_out'];
  final held = access == null && refresh == null
      ? null
      : Held(
          access: access,
          refresh: refresh,
          sid: _textOf(v['session_id']),
          expiresAt: _textOf(v['expires_at']),
        );
  return Content(held, _last(list is List ? list.whereType<String>().toList() : const []));
}

String _format(Content c) => jsonEncode({
      'v': 1,
      if (c.held?.access case final v?) 'access_token': v,
      if (c.held?.refresh case final v?) 'refresh_token': v,
      if (c.held?.sid case final v?) 'session_id': v,
      if (c.held?.expiresAt case final v?) 'expires_at': v,
      if (c.signedOut.isNotEmpty) 'signed_out': _last(c.signedOut),
    });

List<String> _last(List<String> tokens) =>
    tokens.length <= _maxSignedOut ? tokens : tokens.sublist(tokens.length - _maxSignedOut);

String? _textOf(Object? v) => v is String && v.isNotEmpty ? v : null;
