/// One signed-in device of a user, as every endpoint of the gateway shows it.
final class Session {
  /// Reads one; throws a [FormatException] where [json] is none.
  factory Session.fromJson(Map<String, Object?> json) {
    final f = _Fields(json, 'session');
    return Session._(
      json: json,
      id: f.text('id'),
      userId: f.text('user_id'),
      deviceInfo: f.textOr('device_info'),
      ipAddress: f.textOr('ip_address'),
      userAgent: f.textOr('user_agent'),
      isActive: json['is_active'] == true,
      createdAt: f.time('created_at'),
      lastActivity: f.time('last_activity'),
      expiresAt: f.time('expires_at'),
      isCurrent: json['current'] == true,
      endedAt: f.timeOrNull('ended_at'),
      endReason: f.textOrNull('end_reason'),
    );
  }

  const Session._({
    required this.json,
    required this.id,
    required this.userId,
    required this.deviceInfo,
    required this.ipAddress,
    required this.userAgent,
    required this.isActive,
    required this.createdAt,
    required this.lastActivity,
    required this.expiresAt,
    required this.isCurrent,
    required this.endedAt,
    required this.endReason,
  });

  /// All that the gateway has said, for what has no field here.
  final Map<String, Object?> json;

  /// The session's id.
  final String id;

  /// Whose it is.
  final String userId;

  /// What the application said of the device.
  final String deviceInfo;

  /// Where it was seen last.
  final String ipAddress;

  /// What the device's program calls itself.
  final String userAgent;

  /// Whether it has not ended.
  final bool isActive;

  /// When the user signed in, by the gateway's clock.
  final DateTime createdAt;

  /// When it was used last.
  final DateTime lastActivity;

  /// When it ends without a refresh. To show; it is not compared with a clock.
  final DateTime expiresAt;

  /// Whether it is the one that asks.
  final bool isCurrent;

  /// When it ended.
  final DateTime? endedAt;

  /// Why it ended: `logout`, `logout_all`, `expired`, `revoked`, …
  final String? endReason;
}

/// What the gateway says of the session now.
final class SessionStatus {
  /// Reads one; throws a [FormatException] where [json] is none.
  factory SessionStatus.fromJson(Map<String, Object?> json) {
    final f = _Fields(json, 'status');
    return SessionStatus._(
      session: Session.fromJson(f.object('session')),
      expiresIn: f.seconds('expires_in')!,
      refreshAfter: f.seconds('refresh_after')!,
      serverTime: f.time('server_time'),
      idleExpiresIn: f.seconds('idle_expires_in', isOptional: true),
      absoluteExpiresIn: f.seconds('absolute_expires_in', isOptional: true),
    );
  }

  const SessionStatus._({
    required this.session,
    required this.expiresIn,
    required this.refreshAfter,
    required this.serverTime,
    required this.idleExpiresIn,
    required this.absoluteExpiresIn,
  });

  /// The session that asks.
  final Session session;

  /// How long it was good, without a refresh, from the moment of the answer on.
  final Duration expiresIn;

  /// When a refresh is due.
  final Duration refreshAfter;

  /// The gateway's clock.
  final DateTime serverTime;

  /// How long it lasts if the user does nothing; null: there is no such limit.
  final Duration? idleExpiresIn;

  /// How long it lasts at most; null: there is no such limit.
  final Duration? absoluteExpiresIn;
}

/// A page of sessions.
final class SessionPage {
  /// Reads one; throws a [FormatException] where [json] is none.
  factory SessionPage.fromJson(Map<String, Object?> json) {
    final f = _Fields(json, 'page of sessions');
    return SessionPage._(f.objects('sessions', Session.fromJson), f.textOrNull('next_cursor'));
  }

  const SessionPage._(this.sessions, this.nextCursor);

  /// The newest first.
  final List<Session> sessions;

  /// Gets the next page; null after the last one.
  final String? nextCursor;
}

/// One entry of the user's log.
final class LogEntry {
  /// Reads one; throws a [FormatException] where [json] is none.
  factory LogEntry.fromJson(Map<String, Object?> json) {
    final f = _Fields(json, 'log entry');
    return LogEntry._(
      json: json,
      id: f.text('id'),
      createdAt: f.time('created_at'),
      action: f.text('action'),
      success: json['success'] == true,
      sessionId: f.textOrNull('session_id'),
      errorMessage: f.textOrNull('error_message'),
      reason: f.textOrNull('reason'),
      deviceInfo: f.textOr('device_info'),
      ipAddress: f.textOr('ip_address'),
      userAgent: f.textOr('user_agent'),
    );
  }

  const LogEntry._({
    required this.json,
    required this.id,
    required this.createdAt,
    required this.action,
    required this.success,
    required this.sessionId,
    required this.errorMessage,
    required this.reason,
    required this.deviceInfo,
    required this.ipAddress,
    required this.userAgent,
  });

  /// All that the gateway has said, for what has no field here.
  final Map<String, Object?> json;

  /// The entry's id.
  final String id;

  /// When it happened, by the gateway's clock.
  final DateTime createdAt;

  /// `login`, `token_refresh`, `logout` or `session_expired`.
  final String action;

  /// Whether it succeeded.
  final bool success;

  /// Of which session.
  final String? sessionId;

  /// Why it failed.
  final String? errorMessage;

  /// Why a session ended.
  final String? reason;

  /// What the application said of the device.
  final String deviceInfo;

  /// From where.
  final String ipAddress;

  /// What the device's program calls itself.
  final String userAgent;
}

/// A page of the user's log.
final class LogPage {
  /// Reads one; throws a [FormatException] where [json] is none.
  factory LogPage.fromJson(Map<String, Object?> json) {
    final f = _Fields(json, 'page of the log');
    return LogPage._(f.objects('logs', LogEntry.fromJson), f.textOrNull('next_cursor'));
  }

  const LogPage._(this.logs, this.nextCursor);

  /// The newest first.
  final List<LogEntry> logs;

  /// Gets the next page; null after the last one.
  final String? nextCursor;
}

/// What the application says about the device. Users see it in their list.
final class Device {
  /// Says what there is to say.
  const Device({this.name, this.platform, this.id});

  /// As its user calls it.
  final String? name;

  /// `android`, `ios`, …
  final String? platform;

  /// The application's own id of the installation.
  final String? id;

  /// As the gateway takes it.
  Map<String, Object?> toJson() => {
        if (name case final v?) 'name': v,
        if (platform case final v?) 'platform': v,
        if (id case final v?) 'id': v,
      };
}

/// Reads members, and says which is wrong.
final class _Fields {
  const _Fields(this._json, this._what);

  final Map<String, Object?> _json;
  final String _what;

  Never _wrong(String name, String expected) =>
      throw FormatException('$_what: $name is not $expected');

  String text(String name) => textOrNull(name) ?? _wrong(name, 'a text');

  String textOr(String name) => textOrNull(name) ?? '';

  String? textOrNull(String name) => switch (_json[name]) {
        null => null,
        final String v => v,
        _ => _wrong(name, 'a text'),
      };

  DateTime time(String name) => timeOrNull(name) ?? _wrong(name, 'a time');

  DateTime? timeOrNull(String name) {
    final v = textOrNull(name);
    return v == null ? null : DateTime.tryParse(v) ?? _wrong(name, 'a time');
  }

  Duration? seconds(String name, {bool isOptional = false}) => switch (_json[name]) {
        null when isOptional => null,
        final num v when v >= 0 && v < 1e9 => Duration(milliseconds: (v * 1000).round()),
        _ => _wrong(name, 'a number of seconds'),
      };

  Map<String, Object?> object(String name) => switch (_json[name]) {
        final Map<String, Object?> v => v,
        _ => _wrong(name, 'an object'),
      };

  List<T> objects<T>(String name, T Function(Map<String, Object?>) read) => switch (_json[name]) {
        final List<Object?> list => [
            for (final v in list)
              v is Map<String, Object?> ? read(v) : _wrong(name, 'a list of objects'),
          ],
        _ => _wrong(name, 'a list'),
      };
}
