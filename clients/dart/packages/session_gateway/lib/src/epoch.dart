/// A stretch of time in which nobody signs in or out. What was begun before it is
/// over counts no more.
final class Epoch {
  final _listeners = <void Function()>{};
  var _isOver = false;

  /// Whether it is over.
  bool get isOver => _isOver;

  /// Ends it, and tells everybody who waits for that.
  void end() {
    if (_isOver) return;
    _isOver = true;
    final listeners = [..._listeners];
    _listeners.clear();
    for (final listener in listeners) {
      listener();
    }
  }

  /// Calls [listener] at the end. The result takes that back.
  void Function() onEnd(void Function() listener) {
    void call() => listener(); // a new object, even for the same listener
    if (_isOver) {
      call();
    } else {
      _listeners.add(call);
    }
    return () => _listeners.remove(call);
  }
}
