class SharedPreferencesAsync {
  static final stub = <String, String>{};

  Future<String?> getString(String key) async => stub[key];
  Future<void> setString(String key, String value) async => stub[key] = value;
  Future<void> remove(String key) async => stub.remove(key);
}
