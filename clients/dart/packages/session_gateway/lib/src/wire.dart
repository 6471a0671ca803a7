import 'dart:async';
import 'dart:convert';

import 'clock.dart';
import 'epoch.dart';
import 'exception.dart';
import 'models.dart';
import 'transport.dart';

/// How long an answer may take.
const patience = Duration(seconds: 15);

/// The longest answer of the gateway that is read; its pages have 200 entries at most.
const _longestBody = 4 << 20;

/// What became of a call.
sealed class Answer {
  const Answer();
}

/// The gateway has done it.
final class Done extends Answer {
  const Done(this.body);
  final Object? body;
}

/// It was not done.
sealed class Failure extends Answer {
  const Failure(this.error);
  final SessionException error;
}

/// The gateway knows that the credential is no good.
final class Refused extends Failure {
  const Refused(super.error, this.reason);
  final String reason;
}

/// Anything else: nothing is known of the session.
final class Failed extends Failure {
  const Failed(super.error);
}

/// A call of the gateway.
final class Call {
  const Call(this.method, this.path, {this.token, this.body});
  final String method;
  final String path;

  /// Without one there is no Authorization.
  final String? token;
  final Map<String, Object?>? body;

  Call withToken(String token) => Call(method, path, token: token, body: body);
}

/// The answer to a sign-in, a refresh or a status, as far as the client needs it.
final class Grant {
  const Grant._(
    this.session,
    this.expiresIn,
    this.refreshAfter,
    this.countsIdle,
    this.access,
    this.refresh,
    this.expiresAt,
  );

  /// Reads one; null where [body] is not what the gateway answers.
  static Grant? parse(Object? body, {required bool needsToken}) {
    if (body is! Map<String, Object?>) return null;
    final session = body['session'];
    final expiresIn = _seconds(body['expires_in']);
    final refreshAfter = _seconds(body['refresh_after']);
    final access = body['access_token'];
    final refresh = body['refresh_token'];
    if (session is! Map<String, Object?> || expiresIn == null || refreshAfter == null) return null;
    if (needsToken && (access is! String || access.isEmpty)) return null;
    final expiresAt = session['expires_at'];
    if (expiresAt is! String) return null;
    final Session read;
    try {
      read = Session.fromJson(session);
    } on FormatException {
      return null;
    }
    return Grant._(
      read,
      expiresIn,
      refreshAfter,
      body['idle_expires_in'] != null,
      access is String ? access : null,
      refresh is String ? refresh : null,
      expiresAt,
    );
  }

  final Session session;
  final Duration expiresIn;
  final Duration refreshAfter;

  /// Whether the gateway ends sessions whose user does nothing.
  final bool countsIdle;
  final String? access;
  final String? refresh;
  final String expiresAt;

  static Duration? _seconds(Object? v) =>
      v is num && v >= 0 && v < 1e9 ? Duration(milliseconds: (v * 1000).round()) : null;
}

/// Wire speaks with the gateway.
final class Wire {
  Wire(this.baseUrl, this._device, this._transport, this._clock);

  /// Without a slash at the end.
  final String baseUrl;
  final Device? _device;
  final Transport _transport;
  final Clock _clock;

  /// What sign-ins say of the device.
  Map<String, Object?> get device => {if (_device case final d?) 'device_info': d.toJson()};

  /// Makes a request; fails as the transport does.
  Future<TransportResponse> request(Call call, Future<void> abort) {
    final body = call.body;
    final request = TransportRequest(
      call.method,
      Uri.parse(baseUrl + call.path),
      headers: {
        if (call.token case final token?) 'Authorization': 'Bearer $token',
        if (body != null) 'Content-Type': 'application/json',
      },
      body: body == null ? null : jsonEncode(body),
    );
    return _transport.send(request, abort: abort);
  }

  /// Makes a request and reads its answer, within the time that it may take, and for
  /// as long as [epoch] lasts. It never fails.
  Future<Answer> send(Call call, {Epoch? epoch}) {
    final answer = Completer<Answer>();
    final abort = Completer<void>();
    void settle(Answer a) {
      if (!answer.isCompleted) answer.complete(a);
    }

    void giveUp(String why) {
      settle(Failed(SessionException('network', why)));
      if (!abort.isCompleted) abort.complete();
    }

    final cancelTimer = _clock.after(patience, () => giveUp('no answer'));
    final forget = epoch?.onEnd(() => giveUp('not wanted any more'));
    _exchange(call, abort.future).then(
      settle,
      onError: (Object e) => e is SessionException ? settle(Failed(e)) : giveUp('$e'),
    );
    return answer.future.whenComplete(() {
      cancelTimer();
      forget?.call();
    });
  }

  Future<Answer> _exchange(Call call, Future<void> abort) async =>
      judge(await request(call, abort), abort);

  /// Reads an answer to its end and says what it means.
  Future<Answer> judge(TransportResponse r, Future<void> abort) async {
    final body = _decode(await _read(r.body, abort));
    if (r.status >= 200 && r.status < 300) return Done(body);
    final p = body is Map<String, Object?> ? body : const <String, Object?>{};
    final code = _text(p['code']) ?? 'protocol';
    final reason = _text(p['reason']);
    final error = SessionException(
      code,
      _text(p['detail']) ?? _text(p['title']) ?? 'The answer is ${r.status}.',
      status: r.status,
      reason: reason,
      requestId: _text(p['request_id']),
      retryAfter: _retryAfter(r.headers['retry-after']),
    );
    if (r.status == 401 && code == 'unauthenticated' && reason != null) {
      return Refused(error, reason);
    }
    return Failed(error);
  }

  static Future<String> _read(Stream<List<int>> body, Future<void> abort) {
    final text = Completer<String>();
    final bytes = <int>[];
    late final StreamSubscription<List<int>> subscription;
    void fail(Object e) {
      subscription.cancel().ignore();
      if (!text.isCompleted) text.completeError(e);
    }

    subscription = body.listen(
      (piece) {
        bytes.addAll(piece);
        if (bytes.length > _longestBody) fail(const SessionException.foreign());
      },
      onError: fail,
      onDone: () {
        if (!text.isCompleted) text.complete(utf8.decode(bytes, allowMalformed: true));
      },
      cancelOnError: true,
    );
    abort.then((_) => fail(StateError('given up')));
    return text.future;
  }
}

/// The time of Retry-After; a date is somebody else's, and compared with no clock.
Duration? _retryAfter(String? s) =>
    s != null && RegExp(r'^\d{1,6}$').hasMatch(s) ? Duration(seconds: int.parse(s)) : null;

Object? _decode(String s) {
  try {
    return jsonDecode(s);
  } on FormatException {
    return null;
  }
}

String? _text(Object? v) => v is String ? v : null;
