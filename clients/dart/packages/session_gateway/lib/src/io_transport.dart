import 'dart:async';
import 'dart:convert';
import 'dart:io';

import 'transport.dart';

/// Sends requests with an [HttpClient].
final class IoTransport implements Transport {
  /// Uses [client], or one of its own.
  IoTransport({HttpClient? client})
      : _client = client ?? (HttpClient()..connectionTimeout = const Duration(seconds: 15));

  final HttpClient _client;

  @override
  Future<TransportResponse> send(TransportRequest request, {Future<void>? abort}) async {
    var isGivenUp = false;
    HttpClientRequest? out;
    abort?.then((_) {
      isGivenUp = true;
      out?.abort();
    });
    final r = out = await _client.openUrl(request.method, request.url);
    if (isGivenUp) r.abort();
    r.followRedirects = false;
    request.headers.forEach(r.headers.set);
    if (request.body case final body?) {
      final bytes = utf8.encode(body);
      r.contentLength = bytes.length;
      r.add(bytes);
    }
    final answer = await r.close();
    final headers = <String, String>{};
    answer.headers.forEach((name, values) => headers[name.toLowerCase()] = values.join(', '));
    return TransportResponse(answer.statusCode, headers, answer);
  }

  /// Closes its connections; the transport can't be used any more.
  void close() => _client.close(force: true);
}
