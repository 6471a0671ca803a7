enum AppLifecycleState { detached, resumed, inactive, hidden, paused }

mixin WidgetsBindingObserver {
  void didChangeAppLifecycleState(AppLifecycleState state) {}
}

class WidgetsFlutterBinding with WidgetsBinding {
  static WidgetsBinding ensureInitialized() =>
      WidgetsBinding._instance ??= WidgetsFlutterBinding();
}

mixin WidgetsBinding {
  static WidgetsBinding? _instance;
  static WidgetsBinding get instance => _instance!;

  final _observers = <WidgetsBindingObserver>[];

  void addObserver(WidgetsBindingObserver observer) => _observers.add(observer);
  bool removeObserver(WidgetsBindingObserver observer) => _observers.remove(observer);

  void handleAppLifecycleStateChanged(AppLifecycleState state) {
    for (final observer in [..._observers]) {
      observer.didChangeAppLifecycleState(state);
    }
  }
}
