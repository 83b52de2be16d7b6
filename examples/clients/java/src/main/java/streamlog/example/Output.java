package streamlog.example;

import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.protobuf.ByteString;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import streamlog.v1.RecordOuterClass.Header;
import streamlog.v1.RecordOuterClass.Record;

/** What the programs write and print, as ../README.md has it. */
final class Output {
  static final long FIRST_MS = 1_700_000_000_000L;
  private static final int VALUE_BYTES = 100;
  private static final Gson GSON =
      new GsonBuilder().serializeNulls().disableHtmlEscaping().create();

  private Output() {}

  /** Prints a line: names and values in turn. */
  static void say(Object... fields) {
    Map<String, Object> line = new LinkedHashMap<>();
    for (int i = 0; i < fields.length; i += 2) {
      line.put((String) fields[i], fields[i + 1]);
    }
    print(GSON.toJson(line) + "\n");
  }

  /** Prints a line for each record. */
  static void show(List<StoredRecord> records) {
    var lines = new StringBuilder();
    for (StoredRecord record : records) {
      lines.append(GSON.toJson(printed(record))).append('\n');
    }
    print(lines.toString());
  }

  private static void print(String lines) {
    PrintStream out = System.out;
    byte[] bytes = lines.getBytes(StandardCharsets.UTF_8);
    synchronized (out) {
      out.write(bytes, 0, bytes.length);
      out.flush();
    }
  }

  static Map<String, Object> printed(StoredRecord stored) {
    Record record = stored.record();
    List<List<String>> headers = new ArrayList<>();
    for (Header header : record.getHeadersList()) {
      headers.add(Arrays.asList(header.getName(), hex(header.hasValue(), header.getValue())));
    }
    Map<String, Object> line = new LinkedHashMap<>();
    line.put("partition", stored.partition());
    line.put("offset", stored.offset());
    line.put("timestamp_ms", stored.timestampMs());
    line.put("key", hex(record.hasKey(), record.getKey()));
    line.put("value", hex(record.hasValue(), record.getValue()));
    line.put("headers", headers);
    return line;
  }

  private static String hex(boolean there, ByteString bytes) {
    return there ? HexFormat.of().formatHex(bytes.toByteArray()) : null;
  }

  /** Record number n of a program; its time counts from {@link #FIRST_MS}. */
  static Record record(String name, long n) {
    Record.Builder record = Record.newBuilder().setTimestampDeltaMs(n);
    if (n % 10 != 9) {
      record.setKey(ByteString.copyFromUtf8("key-" + n % 100));
    }
    if (n % 100 == 18) {
      record.setValue(ByteString.EMPTY);
    } else if (n % 100 != 17) {
      String text = name + ":" + n + ":";
      String filling = "x".repeat(Math.max(0, VALUE_BYTES - text.length()));
      record.setValue(ByteString.copyFromUtf8(text + filling));
    }
    if (n % 10 == 3) {
      record.addHeaders(
          Header.newBuilder().setName("writer").setValue(ByteString.copyFromUtf8(name)));
      record.addHeaders(Header.newBuilder().setName("none"));
    }
    return record.build();
  }

  /** Since a {@link System#nanoTime}. */
  static double secondsSince(long begunNanos) {
    return (System.nanoTime() - begunNanos) / 1e9;
  }
}
