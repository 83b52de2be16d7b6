package streamlog.example;

import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** Pairs of {@code --name value}. */
final class Flags {
  private final Map<String, String> given = new HashMap<>();

  Flags(List<String> args) {
    for (int i = 0; i + 1 < args.size(); i += 2) {
      given.put(args.get(i).replaceFirst("^--", ""), args.get(i + 1));
    }
  }

  boolean has(String name) {
    return given.containsKey(name);
  }

  String text(String name) {
    if (!has(name)) {
      throw new IllegalArgumentException("--" + name + " is missing");
    }
    return given.get(name);
  }

  long number(String name) {
    return Long.parseLong(text(name));
  }
}
