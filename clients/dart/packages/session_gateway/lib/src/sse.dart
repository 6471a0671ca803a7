import 'dart:convert';

/// An event of a stream.
typedef ServerEvent = ({String name, String data});

/// The longest event that is read; ours have a few hundred characters.
const _longestEvent = 64 << 10;

/// EventReader reads server-sent events (HTML Living Standard §9.2) out of pieces of
/// a stream. A character or a line break may be cut in two by the pieces.
final class EventReader {
  final _text = StringBuffer();
  late final _decoder = const Utf8Decoder(allowMalformed: true)
      .startChunkedConversion(StringConversionSink.fromStringSink(_text));
  var _rest = '';

  /// The events that are complete with [bytes].
  List<ServerEvent> push(List<int> bytes) {
    _decoder.add(bytes);
    _rest += _text.toString();
    _text.clear();
    // A line break at the very end may be the first half of one.
    final blocks = _rest.split(RegExp(r'\r\n\r\n|\n\n|\r\r(?!\n)'));
    _rest = blocks.removeLast();
    if (_rest.length > _longestEvent) throw const FormatException('an event without an end');
    return blocks.map(_read).where((e) => e.data.isNotEmpty).toList();
  }

  static ServerEvent _read(String block) {
    var name = 'message';
    final data = <String>[];
    for (final line in block.split(RegExp(r'\r\n|\n|\r'))) {
      final at = line.indexOf(':');
      final field = at < 0 ? line : line.substring(0, at);
      final value = at < 0 ? '' : line.substring(at + 1).replaceFirst(RegExp('^ '), '');
      if (field == 'event') name = value;
      if (field == 'data') data.add(value);
    }
    return (name: name, data: data.join('\n'));
  }
}
