enum KeychainAccessibility {
  passcode,
  unlocked,
  unlocked_this_device,
  first_unlock,
  first_unlock_this_device,
}


class IOSOptions {
  const IOSOptions({KeychainAccessibility? accessibility = KeychainAccessibility.unlocked});
}

class FlutterSecureStorage {
  const FlutterSecureStorage({
    IOSOptions iOptions = const IOSOptions(),
  });

  static final stub = <String, String>{};

  Future<String?> read({required String key}) async => stub[key];

  Future<void> write({required String key, required String? value}) async =>
      value == null ? stub.remove(key) : stub[key] = value;

  Future<void> delete({required String key}) async => stub.remove(key);
}
