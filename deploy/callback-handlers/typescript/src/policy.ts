/**
 * What is approved. The rules come from a JSON file; **put rules of your own into `decide`**.
 *
 * What no rule allows is rejected. Decide on what the co-signer verified: see `question.ts`.
 */

import { parseAmount } from "./amount.js";
import { comparableAddress, type Rules } from "./policy-file.js";
import type { ConfigChange, Transaction } from "./question.js";

/** `RETRY`: ask again later. `IGNORE`: no opinion; for changes of configuration only. */
export interface Decision {
  action: "APPROVE" | "REJECT" | "RETRY" | "IGNORE";
  reason?: string;
}

const APPROVE: Decision = { action: "APPROVE" };

export function reject(reason: string): Decision {
  return { action: "REJECT", reason };
}

/** Operations that sign something handed over whole: no amount and no destination is shown for these. */
const WITHOUT_AMOUNT = ["RAW", "TYPED_MESSAGE"];

/** Decides on a transaction. */
export function decide(rules: Rules, transaction: Transaction): Decision {
  const { operation, asset, note } = transaction;
  // A claim may make you reject, never approve: so this rule may look at a note that is not verified.
  if (rules.rejectNotes.has(note)) return reject(`the note is "${note}"`);
  if (rules.operations !== "any") {
    if (operation === undefined) return reject("the operation is missing or not verified");
    if (!rules.operations.has(operation)) return reject(`the operation ${operation} is not allowed`);
  }
  if (rules.assets !== "any") {
    if (asset === undefined) return reject("the asset is missing or not verified");
    if (!rules.assets.has(asset)) return reject(`the asset ${asset} is not allowed`);
  }
  if (operation !== undefined && WITHOUT_AMOUNT.includes(operation)) return APPROVE;
  return decideOnDestinations(rules, transaction) ?? decideOnAmount(rules, transaction);
}

function decideOnDestinations(rules: Rules, { destinations }: Transaction): Decision | undefined {
  const allowed = rules.destinations;
  if (allowed === "any") return undefined;
  if (destinations === undefined) return reject("a destination address is missing or not verified");
  const other = destinations.find((address) => !allowed.has(comparableAddress(address)));
  return other === undefined ? undefined : reject(`the destination ${other} is not allowed`);
}

function decideOnAmount(rules: Rules, { asset, amount }: Transaction): Decision {
  if (rules.assets === "any") return APPROVE;
  const limits = asset === undefined ? undefined : rules.assets.get(asset);
  if (limits?.maxAmount === undefined) return reject(`no maximum is set for the asset ${asset}`);
  if (amount === undefined) return reject("the amount is missing or not verified");
  const wanted = parseAmount(amount);
  if (wanted === undefined) return reject("the amount is not a decimal number");
  if (wanted > limits.maxAmount) return reject(`the amount ${amount} is over the maximum of ${asset}`);
  // Here somebody would be asked. The co-signer asks again, under the same request id.
  if (limits.retryAbove !== undefined && wanted > limits.retryAbove) return { action: "RETRY" };
  return APPROVE;
}

/** Decides on a change of configuration. */
export function decideOnChange(rules: Rules, change: ConfigChange): Decision {
  if (rules.configChanges === "any" || rules.configChanges.has(change.type)) return APPROVE;
  if (rules.otherConfigChanges === "IGNORE") return { action: "IGNORE" };
  return reject(`the configuration change ${change.type} is not allowed`);
}
