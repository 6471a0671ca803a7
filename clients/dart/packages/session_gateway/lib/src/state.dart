import 'models.dart';

/// What the session is like, as far as the client knows. Show the signed-in part of
/// the application in [SessionActive] and in [SessionStale]: only the gateway ends a
/// session, and a lost network does not.
sealed class SessionState {
  const SessionState();

  /// Whether there is a session, as far as is known.
  bool get isSignedIn => this is SessionActive || this is SessionStale;
}

/// Not started, or the first answer has not come.
final class SessionUnknown extends SessionState {
  /// Nothing is known yet.
  const SessionUnknown();

  @override
  String toString() => 'unknown';
}

/// There is no session.
final class SignedOut extends SessionState {
  /// There is none, or none any more for this [reason].
  const SignedOut([this.reason]);

  /// Why there is no session any more: the gateway's `reason` or `end_reason`, or
  /// `signed_out` for a sign-out on this device; null if there was none.
  final String? reason;

  @override
  String toString() => reason == null ? 'signed_out' : 'signed_out ($reason)';
}

/// The gateway's last word was that the session is good.
final class SessionActive extends SessionState {
  /// The session is good.
  const SessionActive(this.session);

  /// As the gateway has described it.
  final Session session;

  @override
  String toString() => 'active';
}

/// Signed in, but the gateway could not be asked: no network, a 503, a page of
/// somebody else's.
final class SessionStale extends SessionState {
  /// The gateway can't be asked.
  const SessionStale(this.session);

  /// As the gateway has described it; null if it has not been asked since the start.
  final Session? session;

  @override
  String toString() => 'stale';
}
