// The part of the validator that looks at what an event was worth and of which items. LinkMe's own events have neither; whoever
// sends others over the same stream is told of the rules of these, too. Source: "Measurement Protocol events", per event.
import { isMembers, type Members, type Report, typeOf } from "./ga4-findings.ts";
import { GA4_ITEM_PARAMS_MAX, GA4_ITEMS_MAX } from "./ga4-limits.ts";
import { GA4_ITEM_PARAMS } from "./ga4-names.ts";

/** ISO 4217. */
const CURRENCY = /^[A-Z]{3}$/;

export function checkMoney({ currency, value }: Members, path: string, report: Report): void {
  if (currency !== undefined && (typeof currency !== "string" || !CURRENCY.test(currency))) {
    const message = `currency is ${report.shown(currency)}; Google takes three capital letters (ISO 4217)`;
    const fix = "Send a code like EUR";
    report.tell({ level: "error", rule: "CURRENCY_INVALID", path: `${path}.currency`, message, fix });
  }
  if (value !== undefined && currency === undefined) {
    const message = "There is a value without a currency: no report counts it as revenue";
    report.tell({ level: "strict", rule: "CURRENCY_MISSING", path: `${path}.value`, message, fix: "Send both" });
  }
  if (currency !== undefined && value === undefined) {
    const message = "There is a currency without a value";
    report.tell({ level: "strict", rule: "VALUE_MISSING", path: `${path}.currency`, message, fix: "Send both" });
  }
}

export function checkItems(items: unknown, path: string, report: Report): void {
  if (!Array.isArray(items)) {
    const message = `items is of type ${typeOf(items)}; Google takes an array of objects`;
    report.tell({ level: "error", rule: "ITEMS_INVALID", path, message, fix: "Send an array, of one item as well" });
    return;
  }
  if (items.length > GA4_ITEMS_MAX) {
    const message = `There are ${items.length} items; Google takes ${GA4_ITEMS_MAX}`;
    report.tell({ level: "error", rule: "TOO_MANY_ITEMS", path, message, fix: "Send several events" });
  }
  items.forEach((item: unknown, index) => {
    checkItem(item, `${path}.${index}`, report);
  });
}

function checkItem(item: unknown, path: string, report: Report): void {
  if (!isMembers(item)) {
    const message = `An item is of type ${typeOf(item)}; Google takes objects`;
    report.tell({
      level: "error",
      rule: "ITEMS_INVALID",
      path,
      message,
      fix: "Send an object with item_id or item_name",
    });
    return;
  }
  if (!isNamed(item["item_id"]) && !isNamed(item["item_name"])) {
    const message = "The item has neither item_id nor item_name";
    report.tell({ level: "error", rule: "ITEM_UNNAMED", path, message, fix: "Send one of the two" });
  }
  const own = Object.keys(item).filter((name) => !GA4_ITEM_PARAMS.has(name)).length;
  if (own > GA4_ITEM_PARAMS_MAX) {
    const message = `The item has ${own} params of its own; Google takes ${GA4_ITEM_PARAMS_MAX}`;
    report.tell({ level: "error", rule: "TOO_MANY_ITEM_PARAMS", path, message, fix: "Leave some out" });
  }
}

function isNamed(value: unknown): boolean {
  return (typeof value === "string" && value !== "") || typeof value === "number";
}
