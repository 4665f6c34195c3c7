/** The configuration: flags, each with an environment variable. */

import { isIP } from "node:net";
import { parseArgs } from "node:util";

export const VERSION = "0.1.0";

export const HELP = `Approves or rejects what a Countersign co-signer is about to sign.

  --listen IP:PORT      where to listen; port 0 takes a free one (default: 127.0.0.1:8443)
  --tls-cert FILE       PEM file with this server's certificate chain
  --tls-key FILE        PEM file with the certificate's private key
  --cosigner-key FILE   PEM file with a co-signer's public key; may be given several times, and may appear while this runs
  --answer-key FILE     PEM file (PKCS#8) with the private key that signs answers: RSA (RS256) or P-256 (ES256)
  --policy FILE         JSON file with the rules
  --json                also serve the plain JSON endpoints, which are not signed: only TLS and your network protect them
  --ready-file FILE     write the address in use here, as JSON, when the server listens; removed at a clean stop
  --version, --help

Each flag FLAG-NAME has an environment variable HANDLER_FLAG_NAME; the flag wins.`;

export interface Configuration {
  host: string;
  port: number;
  tlsCert: string;
  tlsKey: string;
  /** Both, where the signed endpoints are to be served. */
  keys: { cosigners: string[]; answer: string } | undefined;
  policy: string | undefined;
  json: boolean;
  readyFile: string | undefined;
}

/** A command line that cannot be followed. */
export class InvalidConfiguration extends Error {}

export function configuration(args: string[], environment: NodeJS.ProcessEnv): Configuration | "help" | "version" {
  const flags = parse(args);
  if (flags.help) return "help";
  if (flags.version) return "version";
  const text = (flag: string | undefined, variable: string): string | undefined => flag ?? (environment[variable] || undefined);

  const tlsCert = text(flags["tls-cert"], "HANDLER_TLS_CERT");
  const tlsKey = text(flags["tls-key"], "HANDLER_TLS_KEY");
  if (tlsCert === undefined || tlsKey === undefined) {
    throw new InvalidConfiguration("--tls-cert and --tls-key are needed");
  }
  const cosigners = flags["cosigner-key"] ?? (environment["HANDLER_COSIGNER_KEY"] ?? "").split(",").filter((path) => path);
  const answer = text(flags["answer-key"], "HANDLER_ANSWER_KEY");
  if (cosigners.length > 0 !== (answer !== undefined)) {
    throw new InvalidConfiguration("--cosigner-key and --answer-key go together");
  }
  const json = flags.json ?? ["1", "true", "yes"].includes((environment["HANDLER_JSON"] ?? "").toLowerCase());
  if (answer === undefined && !json) {
    throw new InvalidConfiguration("--cosigner-key and --answer-key are needed, or --json");
  }
  return {
    ...address(text(flags.listen, "HANDLER_LISTEN") ?? "127.0.0.1:8443"),
    tlsCert,
    tlsKey,
    keys: answer === undefined ? undefined : { cosigners, answer },
    policy: text(flags.policy, "HANDLER_POLICY"),
    json,
    readyFile: text(flags["ready-file"], "HANDLER_READY_FILE"),
  };
}

function parse(args: string[]) {
  try {
    const { values } = parseArgs({
      args,
      options: {
        listen: { type: "string" },
        "tls-cert": { type: "string" },
        "tls-key": { type: "string" },
        "cosigner-key": { type: "string", multiple: true },
        "answer-key": { type: "string" },
        policy: { type: "string" },
        json: { type: "boolean" },
        "ready-file": { type: "string" },
        "log-json": { type: "boolean" }, // the log always is JSON
        version: { type: "boolean" },
        help: { type: "boolean" },
      },
    });
    return values;
  } catch (error) {
    throw new InvalidConfiguration(error instanceof Error ? error.message : String(error));
  }
}

function address(text: string): { host: string; port: number } {
  const split = text.lastIndexOf(":");
  const host = text.slice(0, Math.max(split, 0)).replace(/^\[(.*)\]$/, "$1");
  const digits = text.slice(split + 1);
  if (!isIP(host) || !/^[0-9]{1,5}$/.test(digits) || Number(digits) > 65535) {
    throw new InvalidConfiguration(`expected IP:PORT, got ${text}`);
  }
  return { host, port: Number(digits) };
}
