/// Sends requests: package:session_gateway/io.dart has one on dart:io.
abstract interface class Transport {
  /// Sends [request]; completes with the head of the answer, or with an error where
  /// there is none. Redirects are not followed. When [abort] completes, nobody waits
  /// for the answer any more: the request is given up, and the future completes with
  /// an error. Cancelling the subscription to a body gives up the rest of it.
  Future<TransportResponse> send(TransportRequest request, {Future<void>? abort});
}

/// A request, as a [Transport] sends it.
final class TransportRequest {
  /// Makes one.
  const TransportRequest(this.method, this.url, {this.headers = const {}, this.body});

  /// `GET`, `POST`, …
  final String method;

  /// Where it goes.
  final Uri url;

  /// By name; [SessionClient.send] adds the token.
  final Map<String, String> headers;

  /// Text, which is sent as UTF-8.
  final String? body;

  /// The same with one more header.
  TransportRequest withHeader(String name, String value) =>
      TransportRequest(method, url, headers: {...headers, name: value}, body: body);
}

/// The answer to a request.
final class TransportResponse {
  /// Makes one.
  const TransportResponse(this.status, this.headers, this.body);

  /// HTTP status.
  final int status;

  /// By name in lower case.
  final Map<String, String> headers;

  /// To be listened to once.
  final Stream<List<int>> body;
}
