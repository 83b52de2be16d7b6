/** `--name value` pairs. */
export class Flags {
  readonly #given = new Map<string, string>();

  constructor(args: readonly string[]) {
    for (let i = 0; i + 1 < args.length; i += 2) {
      this.#given.set(args[i]!.replace(/^--/, ""), args[i + 1]!);
    }
  }

  has(name: string): boolean {
    return this.#given.has(name);
  }

  text(name: string): string {
    const value = this.#given.get(name);
    if (value === undefined) throw new Error(`--${name} is missing`);
    return value;
  }

  number(name: string): number {
    const value = Number(this.text(name));
    if (!Number.isSafeInteger(value)) throw new Error(`--${name} is no number`);
    return value;
  }
}
