import 'dart:async';
import 'dart:convert';

import 'package:session_gateway/session_gateway.dart';

import 'world.dart';

/// One client, with what the world gives it.
final class Instance implements TokenStore, Clock, Transport {
  Instance(this.name, this.world) {
    client = SessionClient(
      baseUrl: base,
      transport: this,
      store: this,
      live: world.isLive,
      clock: this,
      random: () => 0.5,
    );
  }

  final String name;
  final World world;
  late final SessionClient client;
  var isDead = false;

  static Future<T> _never<T>() => Completer<T>().future;

  @override
  Future<String?> read() => isDead ? _never() : Future.value(world.text);

  @override
  Future<void> write(String text) => _set(text);

  @override
  Future<void> delete() => _set(null);

  Future<void> _set(String? text) async {
    while (world.writesHeld != null) {
      await world.writesHeld!.future;
    }
    if (isDead) return _never();
    world.text = text;
  }

  @override
  Duration now() => world.now;

  @override
  DateTime wall() => world.wall.add(world.now);

  @override
  void Function() after(Duration delay, void Function() run) {
    final timer = FakeTimer(world.now + delay, run, this);
    world.timers.add(timer);
    return () => world.timers.remove(timer);
  }

  @override
  Future<TransportResponse> send(TransportRequest request, {Future<void>? abort}) {
    final call = FakeCall(this, request);
    world.calls.add(call);
    abort?.then((_) => call.fail(StateError('aborted')));
    return call.response.future;
  }
}

/// A timer that runs in `advance`.
final class FakeTimer {
  FakeTimer(this.at, this.run, this.of);
  final Duration at;
  final void Function() run;
  final Instance of;
}

/// A request that a client has made.
final class FakeCall {
  FakeCall(this._of, this.request);

  final Instance _of;
  final TransportRequest request;
  final response = Completer<TransportResponse>();
  StreamController<List<int>>? stream;
  var isClosed = false;

  String get client => _of.name;
  String? get authorization => request.headers['Authorization'];
  String get path {
    final url = '${request.url}';
    return url.startsWith('$base/') ? url.substring(base.length) : url;
  }

  /// [body] null: it goes on.
  void answer(int status, Map<String, String> headers, String? body) {
    if (_of.isDead || response.isCompleted) return;
    final controller = stream = StreamController<List<int>>(onCancel: () => isClosed = true);
    if (body != null) {
      controller
        ..add(utf8.encode(body))
        ..close().ignore();
    }
    response.complete(TransportResponse(status, headers, controller.stream));
  }

  void fail(Object error) {
    if (!_of.isDead && !response.isCompleted) response.completeError(error);
  }

  @override
  String toString() => jsonEncode({
        'client': client,
        'method': request.method,
        'path': path,
        'authorization': authorization,
        'body': request.body,
      });
}
