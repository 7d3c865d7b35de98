// What every check of the contract is made of: a run that counts, and answers that are compared.
//
// A check has the operation's name and a sentence about it, prints `ok …` or `FAIL …`, and never stops
// the others. Every request is seen on its way out, so that an operation counts as tried only when it
// really was.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { isDeepStrictEqual, inspect } from "node:util";

const require = createRequire(join(process.env.TEST_NODE_MODULES, "x"));
export const sdk = require("svix");
const { ApiException, Svix } = sdk;

const FOLDER = dirname(fileURLToPath(import.meta.url));
// Longest that anything may take before a check gives up: a busy machine.
const PATIENCE_MS = 120_000;
// An id that was never given to anything.
export const NOBODY = "000000000000000000000000000";
// What is checked besides single operations.
const EXTRAS = new Set(["sdk", "errors", "webhook"]);

/** Everything that is checked, and how it went. */
export class Run {
  constructor(url) {
    this.url = url;
    const table = JSON.parse(readFileSync(join(FOLDER, "..", "operations.json"), "utf8"));
    this.offered = table.offered.map(([name, method, path]) => ({ name, method, path }));
    this.notOffered = table.not_offered;
    this.results = [];
    this.called = new Set();
  }

  /** A client of the SDK whose requests are seen. */
  client(token) {
    const seeing = (url, init) => {
      const path = new URL(url).pathname;
      for (const one of this.offered) {
        const pattern = new RegExp(`^${one.path.replace(/\{\w+\}/g, "[^/]+")}/?$`);
        if (one.method === init.method && pattern.test(path)) this.called.add(one.name);
      }
      return fetch(url, init);
    };
    // No second tries: an answer of 500 is a finding here.
    return new Svix(token, { serverUrl: this.url, numRetries: 0, requestTimeout: 30_000, fetch: seeing });
  }

  async check(operation, what, body) {
    let ok = false;
    try {
      const known = EXTRAS.has(operation) || this.offered.some((one) => one.name === operation);
      holds(known, "operations.json does not have this operation");
      await body();
      ok = true;
      console.log(`ok ${operation} ${what}`);
    } catch (error) {
      const told = error instanceof ApiException ? inspect(error.body) : "";
      const place = (error.stack ?? "").match(/javascript\/((?!frame)\w+\.mjs:\d+)/)?.[1] ?? "";
      const why = `${error.name}: ${error.message} ${told}`.replace(/\s+/g, " ").slice(0, 600);
      console.log(`FAIL ${operation} ${what}: ${why} (${place})`);
    }
    this.results.push({ operation, what, ok });
  }

  summary(name) {
    const tried = this.offered.filter(
      (one) => this.called.has(one.name) && this.results.some((r) => r.operation === one.name),
    );
    return {
      sdk: name,
      checks: this.results.length,
      failed: this.results.filter((one) => !one.ok).length,
      operations: tried.map((one) => one.name).sort(),
    };
  }
}

export function equal(actual, expected, what = "it") {
  if (!isDeepStrictEqual(actual, expected)) {
    throw new Error(`${what} is ${inspect(actual)}, wanted ${inspect(expected)}`);
  }
}

export function holds(so, what) {
  if (!so) throw new Error(what);
}

/** All these fields have these values. */
export function hasFields(thing, fields) {
  for (const [name, expected] of Object.entries(fields)) equal(thing[name], expected, name);
}

/** Nothing: null, or not there. */
export function nothing(thing, ...names) {
  for (const name of names) holds(thing[name] == null, `${name} is ${inspect(thing[name])}`);
}

/** It is refused so: with the SDK's own exception, in the documented shape. */
export async function refused(status, code, asking) {
  try {
    await asking();
  } catch (error) {
    if (!(error instanceof ApiException)) throw error;
    equal(error.code, status, `status (${inspect(error.body)})`);
    if (status === 422) {
      holds(error.body.detail.length > 0, "a 422 names what is wrong");
      for (const fault of error.body.detail) {
        const places = ["body", "query", "path", "header"];
        holds(places.includes(fault.loc[0]), `loc begins so: ${fault.loc}`);
        holds(fault.loc.every((part) => typeof part === "string"), `loc is texts: ${fault.loc}`);
        holds(fault.msg && fault.type.startsWith("value_error"), `msg and type: ${inspect(fault)}`);
      }
    } else {
      equal(Object.keys(error.body).sort(), ["code", "detail"], "fields of an error");
      holds(typeof error.body.detail === "string" && error.body.detail, "a detail");
      equal(error.body.code, code, "code");
    }
    return;
  }
  throw new Error(`it was done; ${status} was wanted`);
}

/** Asks again and again until there is an answer that is true. */
export async function eventually(what, ask) {
  const end = Date.now() + PATIENCE_MS;
  for (;;) {
    const answer = await ask();
    if (answer) return answer;
    holds(Date.now() < end, `not within ${PATIENCE_MS} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** A moment with nothing made close to it: what is told by it was made clearly before or after. */
export async function moment() {
  const passed = (when) => eventually("time passes", () => Date.now() > when + 20);
  await passed(Date.now());
  const now = new Date();
  await passed(now.getTime());
  return now;
}

const keyOf = (row) => row.id ?? row.name;

/**
 * Walks a list to its end and back, `limit` rows at a time; the rows of its pages.
 * `fetchPage` takes `{limit, iterator}`.
 */
export async function walked(fetchPage, limit) {
  const pages = [await fetchPage({ limit })];
  while (!pages.at(-1).done) {
    const page = pages.at(-1);
    equal(page.data.length, limit, "rows of a page that is not the last");
    equal(page.iterator, keyOf(page.data.at(-1)), "iterator");
    holds(pages.length < 1_000, "the list never ends");
    pages.push(await fetchPage({ limit, iterator: page.iterator }));
  }
  const keys = pages.map((page) => page.data.map(keyOf));
  equal(new Set(keys.flat()).size, keys.flat().length, "rows that came once");
  const beyond = await fetchPage({ limit, iterator: pages.at(-1).iterator });
  equal([beyond.data, beyond.done, beyond.iterator], [[], true, null], "the page beyond the end");

  let back = pages.at(-1);
  for (const earlier of keys.slice(0, -1).reverse()) {
    back = await fetchPage({ limit, iterator: back.prevIterator });
    equal(back.data.map(keyOf), earlier, "a page on the way back");
  }
  const before = await fetchPage({ limit, iterator: back.prevIterator });
  equal([before.data, before.done], [[], true], "the page before the beginning");
  return pages.flatMap((page) => page.data);
}
