// Who may ask what, portal access, health, and what is not offered.

import { NOBODY, equal, hasFields, holds, refused, sdk } from "./frame.mjs";

const APP = "contract";

export async function check(run, svix, token, applicationToken) {
  await strangers(run, token);
  await narrow(run, svix, run.client(applicationToken));
  await portal(run, svix);
  await run.check("health.get", "needs no token", async () => {
    await svix.health.get();
    await run.client("nonsense").health.get();
  });
  await notOffered(run, svix, token);
}

async function strangers(run, token) {
  const forged = `${token.slice(0, -6)}AAAAAA`;
  for (const wrong of ["nonsense", forged]) {
    await run.check("errors", `${wrong === forged ? "a forged token" : "no JWT"} is unauthenticated`, async () => {
      const client = run.client(wrong);
      await refused(401, "authentication_failed", () => client.application.list());
      await refused(401, "authentication_failed", () => client.endpoint.get(APP, "nobody"));
    });
  }
}

async function narrow(run, svix, narrow) {
  await run.check("errors", "an application's token manages its own endpoints, and no more", async () => {
    hasFields(await narrow.application.get(APP), { uid: APP });
    await narrow.endpoint.create(APP, { url: "http://127.0.0.1:1024/own", uid: "own" });
    await narrow.endpoint.delete(APP, "own");
    await narrow.eventType.list();
    const message = { eventType: "job.created", payload: {} };
    for (const ask of [
      () => narrow.application.list(),
      () => narrow.application.create({ name: "Mine" }),
      () => narrow.application.delete(APP),
      () => narrow.eventType.create({ name: "mine", description: "" }),
      () => narrow.message.create(APP, message),
      () => narrow.message.expungeContent(APP, `msg_${NOBODY}`),
    ]) {
      await refused(403, "insufficient access", ask);
    }
    await svix.application.create({ name: "Other", uid: "other" });
    await refused(404, "not_found", () => narrow.application.get("other"));
    await refused(404, "not_found", () => narrow.endpoint.list("other"));
  });
}

async function portal(run, svix) {
  await run.check("authentication.app_portal_access", "gives a link and a token", async () => {
    const access = await svix.authentication.appPortalAccess(APP, {});
    holds(/^https?:/.test(access.url) && access.token, "a URL and a token");
    hasFields(await run.client(access.token).application.get(APP), { uid: APP });
  });
  await run.check("authentication.expire_all", "ends sessions by their ids, or all", async () => {
    await svix.authentication.expireAll(APP, { sessionIds: ["one"] });
    await svix.authentication.expireAll(APP, {});
  });
  await run.check("authentication.logout", "is answered, or not offered", async () => {
    const access = await svix.authentication.appPortalAccess(APP, {});
    try {
      await run.client(access.token).authentication.logout();
    } catch (error) {
      if (!(error instanceof sdk.ApiException)) throw error;
      equal(error.code, 501, "the refusal");
    }
  });
}

/** Every operation that the SDK has: its name, method and path, out of its own source. */
function operationsOf(thing, name, found = [], seen = new Set()) {
  const shape = Object.getPrototypeOf(thing);
  if (seen.has(shape)) return found;
  seen.add(shape);
  for (const [member, described] of Object.entries(Object.getOwnPropertyDescriptors(shape))) {
    if (described.get) {
      operationsOf(thing[member], `${name}${member}.`, found, seen);
    } else if (member !== "constructor" && typeof described.value === "function") {
      const text = String(described.value);
      const [, method, path] = text.match(/HttpMethod\.(\w+), "([^"]+)"/) ?? [];
      if (path) found.push({ name: `${name}${member}`, method, path });
    }
  }
  return found;
}

async function notOffered(run, svix, token) {
  const operations = operationsOf(svix, "");
  const isOffered = (one) => run.offered.some((o) => o.method === one.method && o.path === one.path);
  const isKnown = (one) => run.notOffered.some(([, part]) => one.path.includes(part));
  await run.check("sdk", "every operation that the SDK has is offered, or known not to be", async () => {
    holds(operations.length > 100, `only ${operations.length} operations found in the SDK`);
    equal(operations.filter((one) => !isOffered(one) && !isKnown(one)), [], "unknown operations");
    const has = (one) => operations.some((o) => o.method === one.method && o.path === one.path);
    equal(run.offered.filter((one) => !has(one)), [], "operations that the SDK does not have");
  });
  for (const one of operations.filter((each) => !isOffered(each))) {
    await run.check("sdk", `${one.name} is not offered, and says so`, async () => {
      const path = one.path.replace("{app_id}", APP).replace(/\{\w+\}/g, "x");
      const body = ["GET", "DELETE"].includes(one.method) ? undefined : "{}";
      const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
      const answer = await fetch(run.url + path, { method: one.method, headers, body });
      holds([404, 405, 501].includes(answer.status), `status ${answer.status}`);
      const told = await answer.json();
      holds(told.code && told.detail, "an error in JSON");
    });
  }
}
