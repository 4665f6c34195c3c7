/**
 * Idempotency: the same request id gets the same answer, and never serves for other content.
 *
 * A co-signer asks again after a time-out and after a restart. Here the answers live in memory; keep yours in a database,
 * so that a restart of the handler does not change its mind either.
 */

import { createHash } from "node:crypto";
import { isObject, type JsonObject } from "./json.js";
import { reject, type Decision } from "./policy.js";

export const MAX_ANSWERS = 10_000;

/** In its strict mode a co-signer dates each attempt anew. */
const OF_THE_ATTEMPT = ["exp", "iat", "jti", "nbf"];

/** The answers given; the oldest are forgotten first. */
export class Answers {
  readonly #given = new Map<string, { content: string; decision: Decision }>();

  /**
   * The answer given before to this id with this content, or a new one; and whether it was given before.
   *
   * The same id with other content is rejected. `RETRY` is no answer yet: the next time is decided anew.
   */
  getOrDecide(id: string, content: string, decide: () => Decision): { decision: Decision; again: boolean } {
    const given = this.#given.get(id);
    if (given) {
      const same = given.content === content;
      return { decision: same ? given.decision : reject("this request id was used for other content"), again: true };
    }
    const decision = decide();
    if (decision.action !== "RETRY") {
      this.#given.set(id, { content, decision });
      // A map keeps the order in which its entries came.
      const [oldest] = this.#given.size > MAX_ANSWERS ? this.#given.keys() : [];
      if (oldest !== undefined) this.#given.delete(oldest);
    }
    return { decision, again: false };
  }
}

/** A hash over everything that was asked. */
export function digest(payload: JsonObject): string {
  const content = Object.fromEntries(Object.entries(payload).filter(([name]) => !OF_THE_ATTEMPT.includes(name)));
  return createHash("sha256").update(JSON.stringify(content, sorted)).digest("hex");
}

function sorted(_name: string, value: unknown): unknown {
  if (!isObject(value)) return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
}
