/**
 * What the co-signer asks, as far as the rules look at it.
 *
 * The co-signer writes amounts, assets and addresses from the bytes that it will sign. What only the workspace claims is
 * listed in `extraParameters.countersign.unverified`, by member name. Here such a member is as good as missing: the rules
 * never see it. The note is the exception, as its rule can only reject.
 */

import { isListOfTexts, isObject, member, type JsonObject } from "./json.js";

const MAX_TEXT_CHARACTERS = 256;

/** The payload is not a question that this handler knows. */
export class Malformed extends Error {}

/** What a co-signer is about to sign. `undefined`: missing, or not verified. */
export interface Transaction {
  requestId: string;
  txId: string;
  signerId: string;
  operation: string | undefined;
  asset: string | undefined;
  amount: string | undefined;
  destinations: string[] | undefined;
  note: string;
  isTest: boolean;
}

/** A change of the workspace's configuration that asks for a word. */
export interface ConfigChange {
  requestId: string;
  type: string;
}

export function parseTransaction(payload: JsonObject): Transaction {
  const countersign = object(object(payload, "extraParameters"), "countersign");
  const unverified = unverifiedNames(countersign);
  const verified = (name: string) => (unverified.has(name) ? undefined : text(payload, name) || undefined);
  // The protocol says that a missing operation is a transfer. One that is only claimed is not missing.
  const operation = unverified.has("operation") ? undefined : text(payload, "operation") || "TRANSFER";
  return {
    requestId: requestId(payload),
    txId: text(payload, "txId"),
    signerId: text(payload, "signerId"),
    operation,
    asset: verified("asset"),
    amount: verified("amountStr"),
    destinations: destinations(payload, unverified, verified("destAddress")),
    note: text(payload, "note", Infinity),
    isTest: countersign["test"] === true,
  };
}

export function parseConfigChange(payload: JsonObject): ConfigChange {
  return { requestId: requestId(payload), type: text(payload, "type") };
}

/** Every address that something goes to, or `undefined` where one of them is missing or not verified. */
function destinations(payload: JsonObject, unverified: Set<string>, address: string | undefined): string[] | undefined {
  const entries = (unverified.has("destinations") ? undefined : member(payload, "destinations")) ?? [];
  if (!Array.isArray(entries) || !entries.every(isObject)) {
    throw new Malformed("destinations is not a list of objects");
  }
  const claimed = unverified.has("dstAddress") || unverified.has("destinations.dstAddress");
  let addresses = entries.map((entry) => (claimed ? "" : text(entry, "dstAddress")));
  // The only entry may repeat the address, or leave it out.
  if (addresses.length < 2) addresses = addresses.filter((a) => a);
  if (address) addresses.push(address);
  return addresses.length > 0 && addresses.every((a) => a) ? addresses : undefined;
}

function unverifiedNames(countersign: JsonObject): Set<string> {
  const names = countersign["unverified"] ?? [];
  if (!isListOfTexts(names)) throw new Malformed("extraParameters.countersign.unverified is not a list of names");
  // A member of each destination may be written `destinations[].name`.
  return new Set(names.map((name) => name.replaceAll("[]", "")));
}

function object(parent: JsonObject, name: string): JsonObject {
  const value = member(parent, name) ?? {};
  if (!isObject(value)) throw new Malformed(`${name} is not an object`);
  return value;
}

function text(parent: JsonObject, name: string, limit = MAX_TEXT_CHARACTERS): string {
  const value = member(parent, name) ?? "";
  if (typeof value !== "string") throw new Malformed(`${name} is not a text`);
  if (value.length > limit) throw new Malformed(`${name} is longer than ${limit} characters`);
  return value;
}

function requestId(payload: JsonObject): string {
  const id = text(payload, "requestId");
  if (!id) throw new Malformed("requestId is missing");
  return id;
}
