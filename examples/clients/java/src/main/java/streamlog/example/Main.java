package streamlog.example;

import java.util.Arrays;

/** A streamlog client made of docs/protocol.md and proto/ alone; ../README.md says what it does. */
public final class Main {
  private Main() {}

  /** Runs one command; ends with 1 if it fails. */
  public static void main(String[] args) {
    try {
      run(args[0], new Flags(Arrays.asList(args).subList(1, args.length)));
    } catch (Exception failure) {
      failure.printStackTrace();
      System.exit(1);
    }
    System.exit(0);
  }

  private static void run(String command, Flags flags) throws Exception {
    if (command.equals("vectors")) {
      Vectors.check(flags);
      return;
    }
    try (var cluster = new Cluster(Arrays.asList(flags.text("bootstrap").split(",")))) {
      switch (command) {
        case "plain" -> Plain.run(cluster, flags);
        case "produce" -> Producer.run(cluster, flags);
        case "consume", "replay" -> Consumer.run(cluster, flags);
        case "group" -> Member.run(cluster, flags);
        default -> throw new IllegalArgumentException("unknown command " + command);
      }
    }
  }
}
