import 'package:flutter_secure_storage/flutter_secure_storage.dart';
import 'package:session_gateway/session_gateway.dart';
import 'package:shared_preferences/shared_preferences.dart';

/// The name under which the session is kept, unless told another.
const _key = 'sessiongate';

/// Keeps the session in the preferences, where it survives restarts. They are not
/// encrypted: prefer a [SecureTokenStore].
final class SharedPreferencesTokenStore implements TokenStore {
  /// Uses the preferences of the application.
  SharedPreferencesTokenStore({SharedPreferencesAsync? preferences, this.key = _key})
      : _preferences = preferences ?? SharedPreferencesAsync();

  final SharedPreferencesAsync _preferences;

  /// The name under which it is kept.
  final String key;

  @override
  Future<String?> read() => _preferences.getString(key);

  @override
  Future<void> write(String text) => _preferences.setString(key, text);

  @override
  Future<void> delete() => _preferences.remove(key);
}

/// Keeps the session in the keychain of iOS and macOS, or encrypted by a key of the
/// keystore of Android. Recommended.
final class SecureTokenStore implements TokenStore {
  /// Uses the storage of the application. On iOS it can be read as soon as the device
  /// has been unlocked once, so also in the background.
  const SecureTokenStore({
    FlutterSecureStorage storage = const FlutterSecureStorage(
      iOptions: IOSOptions(accessibility: KeychainAccessibility.first_unlock),
    ),
    this.key = _key,
  }) : _storage = storage;

  final FlutterSecureStorage _storage;

  /// The name under which it is kept.
  final String key;

  @override
  Future<String?> read() => _storage.read(key: key);

  @override
  Future<void> write(String text) => _storage.write(key: key, value: text);

  @override
  Future<void> delete() => _storage.delete(key: key);
}
