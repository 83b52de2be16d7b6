/** A streamlog client made of docs/protocol.md and proto/ alone; ../README.md says what it does. */
import { Cluster } from "./cluster.js";
import { consume } from "./consume.js";
import { Flags } from "./flags.js";
import { group } from "./group.js";
import { flush } from "./output.js";
import { plain } from "./plain.js";
import { produce } from "./produce.js";
import { vectors } from "./vectors.js";

const withCluster =
  (command: (cluster: Cluster, flags: Flags) => Promise<void>) =>
  async (flags: Flags): Promise<void> => {
    const cluster = new Cluster(flags.text("bootstrap").split(","));
    try {
      await command(cluster, flags);
    } finally {
      cluster.close();
    }
  };

const COMMANDS = new Map<string, (flags: Flags) => Promise<void>>([
  ["vectors", vectors],
  ["plain", withCluster(plain)],
  ["produce", withCluster(produce)],
  ["consume", withCluster(consume)],
  ["replay", withCluster(consume)],
  ["group", withCluster(group)],
]);

const [name = "", ...args] = process.argv.slice(2);
try {
  const command = COMMANDS.get(name);
  if (command === undefined) throw new Error(`unknown command ${name}`);
  await command(new Flags(args));
  process.exitCode = 0;
} catch (error) {
  console.error(error);
  process.exitCode = 1;
}
await flush();
process.exit();
