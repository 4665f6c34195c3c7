/** The two halves of the protocol: verifying the co-signer's JWT, and signing the answer. */

import { createPrivateKey, createPublicKey, type KeyObject } from "node:crypto";
import { readFileSync } from "node:fs";
import jwt from "jsonwebtoken";
import { isObject, type JsonObject } from "./json.js";
import { log, said } from "./log.js";
import type { Decision } from "./policy.js";

const MIN_RSA_BITS = 2048;
/** How far a co-signer's clock may be off, where it dates its requests. */
const LEEWAY_SECONDS = 30;

/** A request that gets no answer. The co-signer takes any status but 200 as a failure, not as a rejection. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

/** The handler's own key cannot be used. */
export class InvalidKey extends Error {}

/**
 * The co-signers' public keys and the own private key.
 *
 * The files of the public keys are read for every request: a key can be put there after the co-signer is paired, and be
 * replaced, while the handler runs.
 */
export class Keys {
  readonly #cosigners: string[];
  readonly #answer: KeyObject;
  readonly #algorithm: "RS256" | "ES256";

  constructor(cosigners: string[], answer: string) {
    this.#cosigners = cosigners;
    this.#answer = readAnswerKey(answer);
    this.#algorithm = algorithmOf(this.#answer, answer);
  }

  /**
   * The payload, if a known co-signer signed it.
   *
   * The algorithm is fixed: what the token's header says of keys and algorithms decides nothing. A token with an audience
   * (`aud`) is refused: co-signers never send one, so it was made for somebody else.
   */
  verify(body: string): JsonObject {
    for (const key of this.#cosignerKeys()) {
      let payload: unknown;
      try {
        payload = jwt.verify(body.trim(), key, { algorithms: ["RS256"], clockTolerance: LEEWAY_SECONDS });
      } catch (error) {
        if (error instanceof jwt.TokenExpiredError || error instanceof jwt.NotBeforeError) {
          throw new Refused(401, "the request expired, or a clock is off");
        }
        continue;
      }
      if (isObject(payload) && !Object.hasOwn(payload, "aud")) return payload;
    }
    throw new Refused(401, "the body is not a JWT that a known co-signer signed with RS256");
  }

  #cosignerKeys(): KeyObject[] {
    return this.#cosigners.flatMap((path) => {
      try {
        const key = createPublicKey(readFileSync(path));
        if (!isRsa(key)) throw new Error(`not an RSA public key of ${MIN_RSA_BITS} bits or more`);
        return [key];
      } catch (error) {
        log("WARN", "cannot use a co-signer's public key", { path, error: said(error) });
        return [];
      }
    });
  }

  /** The answer's JWT. */
  sign(requestId: string, decision: Decision): string {
    return jwt.sign(answer(requestId, decision), this.#answer, { algorithm: this.#algorithm, noTimestamp: true });
  }
}

/** The answer's payload: signed in the public-key mode, plain in the JSON mode. */
export function answer(requestId: string, { action, reason }: Decision): JsonObject {
  return { action, requestId, ...(reason === undefined ? {} : { rejectionReason: reason }) };
}

/** The payload of the JSON mode. Nobody signed it. */
export function parseJson(body: Buffer): JsonObject {
  let payload: unknown;
  try {
    payload = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  } catch {
    throw new Refused(400, "the body is not JSON");
  }
  if (!isObject(payload)) throw new Refused(400, "the body is not a JSON object");
  return payload;
}

function readAnswerKey(path: string): KeyObject {
  const pem = readFileSync(path);
  try {
    return createPrivateKey(pem);
  } catch {
    throw new InvalidKey(`${path} is not a private key in PEM without a passphrase`);
  }
}

function algorithmOf(key: KeyObject, path: string): "RS256" | "ES256" {
  if (isRsa(key)) return "RS256";
  if (key.asymmetricKeyType === "ec" && key.asymmetricKeyDetails?.namedCurve === "prime256v1") return "ES256";
  throw new InvalidKey(`${path}: expected an RSA key of ${MIN_RSA_BITS} bits or more, or a P-256 key`);
}

function isRsa(key: KeyObject): boolean {
  return key.asymmetricKeyType === "rsa" && (key.asymmetricKeyDetails?.modulusLength ?? 0) >= MIN_RSA_BITS;
}
