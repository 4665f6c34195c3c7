/** The policy file. An unknown member is an error: a rule with a typing error must not be lost. */

import { parseAmount, type Amount } from "./amount.js";
import { isListOfTexts, isObject, type JsonObject } from "./json.js";
import { said } from "./log.js";

/** The policy file is not as expected. */
export class InvalidPolicy extends Error {}

/** Names that are allowed, or any. */
export type AllowList = ReadonlySet<string> | "any";

/** How much of an asset may leave at once. */
export interface Limits {
  maxAmount: Amount | undefined;
  retryAbove: Amount | undefined;
}

export interface Rules {
  operations: AllowList;
  assets: ReadonlyMap<string, Limits> | "any";
  destinations: AllowList;
  rejectNotes: ReadonlySet<string>;
  configChanges: AllowList;
  otherConfigChanges: "REJECT" | "IGNORE";
}

/** What holds where no policy file is given. Never use it for real keys. */
export const DEMONSTRATION = `{
    "operations": "any", "assets": "any", "destinations": "any", "rejectNotes": ["reject-me"],
    "otherConfigChanges": "IGNORE"
}`;

const MEMBERS = ["operations", "assets", "destinations", "rejectNotes", "configChanges", "otherConfigChanges"];

export function parseRules(file: string): Rules {
  let parsed: unknown;
  try {
    parsed = JSON.parse(file);
  } catch (error) {
    throw new InvalidPolicy(`the policy is not JSON: ${said(error)}`);
  }
  const rules = object(parsed, "the policy", MEMBERS);
  const { assets = {}, otherConfigChanges = "REJECT" } = rules;
  if (otherConfigChanges !== "REJECT" && otherConfigChanges !== "IGNORE") {
    throw new InvalidPolicy("otherConfigChanges is neither REJECT nor IGNORE");
  }
  const destinations = allowList(rules, "destinations");
  return {
    operations: allowList(rules, "operations"),
    assets: assets === "any" ? "any" : limits(assets),
    destinations: destinations === "any" ? "any" : new Set([...destinations].map(comparableAddress)),
    rejectNotes: names(rules["rejectNotes"], "rejectNotes"),
    configChanges: allowList(rules, "configChanges"),
    otherConfigChanges,
  };
}

/** Hexadecimal addresses differ in the case of letters only by their checksum; others by meaning. */
export function comparableAddress(address: string): string {
  return /^0x/i.test(address) ? address.toLowerCase() : address;
}

function object(value: unknown, what: string, known: string[]): JsonObject {
  if (!isObject(value)) throw new InvalidPolicy(`${what} is not an object`);
  const unknown = Object.keys(value).find((name) => !known.includes(name));
  if (unknown !== undefined) throw new InvalidPolicy(`${what} has an unknown member ${unknown}`);
  return value;
}

function names(value: unknown = [], what: string): ReadonlySet<string> {
  if (!isListOfTexts(value)) throw new InvalidPolicy(`${what} is not a list of texts`);
  return new Set(value);
}

function allowList(rules: JsonObject, name: string): AllowList {
  const value = rules[name];
  return value === "any" ? "any" : names(value, name);
}

function limits(assets: unknown): ReadonlyMap<string, Limits> {
  if (!isObject(assets)) throw new InvalidPolicy("assets is not an object");
  return new Map(Object.entries(assets).map(([asset, value]) => [asset, limitsOf(asset, value)]));
}

function limitsOf(asset: string, value: unknown): Limits {
  const given = object(value, `assets.${asset}`, ["maxAmount", "retryAbove"]);
  const maxAmount = amount(given, "maxAmount", asset);
  const retryAbove = amount(given, "retryAbove", asset);
  if (retryAbove !== undefined && (maxAmount === undefined || retryAbove > maxAmount)) {
    throw new InvalidPolicy(`assets.${asset}.retryAbove is not below its maxAmount`);
  }
  return { maxAmount, retryAbove };
}

function amount(limits: JsonObject, name: string, asset: string): Amount | undefined {
  if (!Object.hasOwn(limits, name)) return undefined;
  const text = limits[name];
  const parsed = typeof text === "string" ? parseAmount(text) : undefined;
  if (parsed === undefined) {
    throw new InvalidPolicy(`assets.${asset}.${name} is not a decimal number in quotes, such as "12.5"`);
  }
  return parsed;
}
