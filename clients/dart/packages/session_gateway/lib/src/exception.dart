/// What went wrong with a call that the application made.
final class SessionException implements Exception {
  /// Makes one; applications seldom do.
  const SessionException(
    this.code,
    this.message, {
    this.status = 0,
    this.reason,
    this.requestId,
    this.retryAfter,
  });

  /// The error for a body that is not the gateway's.
  const SessionException.foreign()
      : this('protocol', 'The answer is not one of the gateway.', status: 200);

  /// The gateway's code (docs/problems.md): `network` without an answer, `protocol`
  /// for one that is not the gateway's.
  final String code;

  /// For people.
  final String message;

  /// HTTP status; 0 without an answer.
  final int status;

  /// Of `unauthenticated`: why.
  final String? reason;

  /// The gateway's log has more under it.
  final String? requestId;

  /// When to try again.
  final Duration? retryAfter;

  /// Whether the gateway itself has said no, and would again.
  bool get isFinal =>
      code != 'protocol' &&
      status >= 400 &&
      status < 500 &&
      !const {408, 425, 429}.contains(status);

  @override
  String toString() => 'SessionException($code): $message';
}
