/// For programs with dart:io, that is, everywhere but on the web: a transport and a
/// store in a file.
library;

export 'src/io_store.dart';
export 'src/io_transport.dart';
