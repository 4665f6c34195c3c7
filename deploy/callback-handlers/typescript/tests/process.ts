/** The real process, asked over HTTPS as a co-signer asks. Needs `openssl` for the server's certificate. */

import assert from "node:assert/strict";
import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import jwt from "jsonwebtoken";

export const MAIN = fileURLToPath(new URL("../src/main.js", import.meta.url));

export interface KeyPair {
  publicKey: KeyObject;
  privateKey: KeyObject;
}

export interface Answer {
  status: number;
  type: string;
  body: string;
}

type Payload = Record<string, unknown>;

export const rsa = (): KeyPair => generateKeyPairSync("rsa", { modulusLength: 2048 });
export const p256 = (): KeyPair => generateKeyPairSync("ec", { namedCurve: "P-256" });
export const privatePem = (key: KeyPair): string => key.privateKey.export({ type: "pkcs8", format: "pem" }) as string;
export const publicPem = (key: KeyPair): string => key.publicKey.export({ type: "spki", format: "pem" }) as string;

/** Keys and files of a handler. */
export class Folder {
  readonly path = mkdtempSync(join(tmpdir(), "callback-handler-"));
  readonly cosigner = rsa();

  constructor(readonly answer: KeyPair = p256()) {
    const files = ["-keyout", this.file("tls-key"), "-out", this.file("tls-cert"), "-days", "1", "-subj", "/CN=handler"];
    const kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-addext", "subjectAltName=IP:127.0.0.1"];
    execFileSync("openssl", ["req", "-x509", ...kind, ...files], { stdio: "ignore" });
    this.write("cosigner-key", publicPem(this.cosigner));
    this.write("answer-key", privatePem(this.answer));
  }

  file(name: string): string {
    return join(this.path, name);
  }

  write(name: string, content: string): string {
    writeFileSync(this.file(name), content);
    return this.file(name);
  }

  remove(): void {
    rmSync(this.path, { recursive: true });
  }
}

export interface Options {
  flags?: string[];
  signed?: boolean;
  answer?: KeyPair;
  /** Instead of flags. */
  environment?: (folder: Folder) => Record<string, string>;
}

/** A handler that runs. */
export class Running {
  port = 0;

  private constructor(
    readonly folder: Folder,
    readonly process: ChildProcess,
  ) {}

  /** Starts one, and waits until it listens. */
  static async start({ flags = [], signed = true, answer, environment }: Options): Promise<Running> {
    const folder = new Folder(answer);
    const files = ["tls-cert", "tls-key", ...(signed ? ["cosigner-key", "answer-key"] : [])];
    const own = files.flatMap((name) => [`--${name}`, folder.file(name)]);
    const all = ["--listen", "127.0.0.1:0", "--ready-file", folder.file("ready"), ...own, ...flags];
    const log = openSync(folder.file("log"), "w");
    const child = spawn(process.execPath, [MAIN, ...(environment ? [] : all)], {
      env: environment ? environment(folder) : {},
      stdio: ["ignore", "pipe", log],
    });
    const running = new Running(folder, child);
    assert(child.stdout);
    for await (const line of createInterface({ input: child.stdout })) {
      const ready = JSON.parse(line) as { event: string; port: number };
      assert.equal(ready.event, "listening");
      running.port = ready.port;
      break;
    }
    if (running.port === 0) assert.fail(running.logText());
    return running;
  }

  /** Stops it with SIGTERM, and returns its exit code. */
  async stop(): Promise<number | null> {
    if (this.process.exitCode === null) {
      this.process.kill("SIGTERM");
      await once(this.process, "exit");
    }
    return this.process.exitCode;
  }

  post(path: string, body: string | Buffer, type = "application/jwt"): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const headers = { "Content-Type": type, "Content-Length": Buffer.byteLength(body) };
      const ca = readFileSync(this.folder.file("tls-cert"));
      const options = { host: "127.0.0.1", port: this.port, path, method: "POST", headers, ca, agent: false, timeout: 20_000 };
      const call = request(options, (response) => {
        let text = "";
        response.setEncoding("utf-8");
        response.on("data", (chunk: string) => (text += chunk));
        response.on("end", () => {
          resolve({ status: response.statusCode ?? 0, type: response.headers["content-type"] ?? "", body: text });
        });
      });
      call.on("error", reject);
      call.end(body);
    });
  }

  postJson(path: string, payload: unknown): Promise<Answer> {
    return this.post(path, JSON.stringify(payload), "application/json");
  }

  token(payload: Payload): string {
    return jwt.sign(payload, this.folder.cosigner.privateKey, { algorithm: "RS256", noTimestamp: true });
  }

  /** Asks as a co-signer does, and verifies the answer as it does. */
  async ask(path: string, payload: Payload): Promise<Payload> {
    const answer = await this.post(path, this.token(payload));
    assert.equal(answer.status, 200, answer.body);
    assert.equal(answer.type, "application/jwt");
    const { publicKey } = this.folder.answer;
    const algorithm = publicKey.asymmetricKeyType === "rsa" ? "RS256" : "ES256";
    return jwt.verify(answer.body, publicKey, { algorithms: [algorithm] }) as Payload;
  }

  logText(): string {
    return readFileSync(this.folder.file("log"), "utf-8");
  }

  log(): Payload[] {
    const lines = this.logText().split("\n").filter((line) => line);
    return lines.map((line) => JSON.parse(line) as Payload);
  }
}
