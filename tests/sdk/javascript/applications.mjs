// Applications and event types: what needs no delivery.

import { NOBODY, equal, hasFields, holds, nothing, refused, walked } from "./frame.mjs";

export const SCHEMA = {
  $schema: "http://json-schema.org/draft-07/schema#",
  type: "object",
  properties: { n: { type: "integer" } },
  examples: [{ n: 17 }],
};

export async function check(run, svix) {
  await applications(run, svix.application);
  await eventTypes(run, svix.eventType);
}

async function applications(run, app) {
  const whole = { name: "Whole", uid: "whole", rateLimit: 25, metadata: { plan: "blue" } };
  await run.check("application.create", "with every option, and all of it comes back", async () => {
    const answer = await app.create(whole);
    hasFields(answer, { name: "Whole", uid: "whole", rateLimit: 25, metadata: { plan: "blue" } });
    equal(answer.throttleRate, 25, "throttleRate, the newer name of rateLimit");
    holds(/^app_\w{27}$/.test(answer.id), `an id: ${answer.id}`);
    holds(Math.abs(answer.createdAt - Date.now()) < 60_000, "made now");
    equal(await app.get("whole"), answer, "what is read by uid");
    equal(await app.get(answer.id), answer, "what is read by id");
  });
  await run.check("application.create", "what cannot be is told", async () => {
    await refused(409, "conflict", () => app.create(whole));
    await refused(422, "", () => app.create({ name: "" }));
    await refused(422, "", () => app.create({ name: "A", uid: "has space" }));
    await refused(422, "", () => app.create({ uid: "no-name" }));
  });
  await run.check("application.create", "with the same idempotency key is done once", async () => {
    const options = { idempotencyKey: "contract-app-1" };
    const first = await app.create({ name: "Once" }, options);
    equal(await app.create({ name: "Once" }, options), first, "the second answer");
  });
  await run.check("application.create", "getOrCreate gives the one that is there", async () => {
    const there = await app.getOrCreate({ name: "Another name", uid: "whole" });
    hasFields(there, { name: "Whole", uid: "whole" });
    hasFields(await app.getOrCreate({ name: "New", uid: "new" }), { name: "New" });
  });
  await run.check("application.get", "what is not there is not found", async () => {
    await refused(404, "not_found", () => app.get("nobody"));
    await refused(404, "not_found", () => app.get(`app_${NOBODY}`));
    await refused(404, "not_found", () => app.get("no/such place"));
  });
  await run.check("application.upsert", "replaces everything, or makes it", async () => {
    const answer = await app.update("whole", { name: "Replaced", uid: "whole" });
    hasFields(answer, { name: "Replaced", metadata: {} });
    nothing(answer, "rateLimit", "throttleRate");
    hasFields(await app.update("upserted", { name: "Upserted", uid: "upserted" }), { name: "Upserted" });
  });
  await run.check("application.patch", "changes what is named, and null clears", async () => {
    hasFields(await app.patch("whole", { throttleRate: 7 }), { name: "Replaced", throttleRate: 7 });
    hasFields(await app.patch("whole", { metadata: { a: "b" } }), { metadata: { a: "b" } });
    const answer = await app.patch("whole", { throttleRate: null });
    nothing(answer, "throttleRate");
    hasFields(answer, { name: "Replaced", uid: "whole", metadata: { a: "b" } });
    await refused(422, "", () => app.patch("whole", { name: null }));
  });
  await run.check("application.delete", "it is gone, and its uid is free", async () => {
    const before = await app.create({ name: "Short", uid: "short" });
    equal(await app.delete("short"), undefined, "the answer");
    await refused(404, "not_found", () => app.get(before.id));
    await refused(404, "not_found", () => app.delete("short"));
    await app.create({ name: "Short again", uid: "short" });
  });
  await run.check("application.list", "is walked to its end and back, both ways", async () => {
    const rows = await walked((page) => app.list(page), 2);
    holds(rows.length >= 5, "all that were made");
    equal(await walked((page) => app.list(page), 3), rows, "the same in threes");
    const back = await walked((page) => app.list({ ...page, order: "descending" }), 2);
    equal(back.reverse(), rows, "the same newest first");
    await refused(422, "", () => app.list({ limit: 251 }));
    await refused(422, "", () => app.list({ iterator: "nonsense" }));
  });
}

async function eventTypes(run, types) {
  const whole = { name: "job.completed", description: "A job is done", schemas: { 1: SCHEMA } };
  await run.check("event_type.create", "with schemas, and all of it comes back", async () => {
    const answer = await types.create({ ...whole, deprecated: true });
    hasFields(answer, { ...whole, deprecated: true, archived: false });
    equal(await types.get("job.completed"), answer, "what is read");
    for (const name of ["job.created", "job.failed", "document.ready"]) {
      await types.create({ name, description: name });
    }
  });
  await run.check("event_type.create", "what cannot be is told", async () => {
    await refused(409, "event_type_exists", () => types.create(whole));
    await refused(422, "", () => types.create({ name: "has space", description: "" }));
    const wrong = { 1: { type: "no such type" } };
    await refused(422, "", () => types.create({ name: "w", description: "", schemas: wrong }));
  });
  await run.check("event_type.create", "a feature flag is kept", async () => {
    const flagged = { name: "job.flagged", description: "", featureFlag: "beta" };
    equal((await types.create(flagged)).featureFlag, "beta", "featureFlag");
  });
  await run.check("event_type.upsert", "replaces everything but the name, or makes it", async () => {
    const answer = await types.update("job.failed", { description: "Replaced", deprecated: true });
    hasFields(answer, { name: "job.failed", description: "Replaced", deprecated: true });
    hasFields(await types.update("job.upserted", { description: "New" }), { description: "New" });
  });
  await run.check("event_type.patch", "changes what is named and keeps the rest", async () => {
    const answer = await types.patch("job.completed", { description: "Done" });
    hasFields(answer, { description: "Done", deprecated: true, schemas: { 1: SCHEMA } });
    equal((await types.patch("job.upserted", { archived: true })).archived, true, "archived");
    equal((await types.patch("job.upserted", { archived: false })).archived, false, "archived");
  });
  await run.check("event_type.get", "what is not there is not found", async () => {
    await refused(404, "not_found", () => types.get("job.nobody"));
  });
  await run.check("event_type.list", "is walked by name, with schemas and the archived when asked", async () => {
    const names = (await walked((page) => types.list(page), 2)).map((row) => row.name);
    equal(names, [...names].sort(), "the order");
    const find = (list) => list.data.find((row) => row.name === "job.completed");
    nothing(find(await types.list()), "schemas");
    equal(find(await types.list({ withContent: true })).schemas, { 1: SCHEMA }, "schemas");
  });
  await run.check("event_type.delete", "archives, and expunges when asked", async () => {
    await types.delete("job.upserted");
    const has = async (options) =>
      (await types.list(options)).data.some((row) => row.name === "job.upserted");
    equal([await has({}), await has({ includeArchived: true })], [false, true], "listed");
    equal((await types.get("job.upserted")).archived, true, "archived");
    await types.delete("job.upserted", { expunge: true });
    await refused(404, "not_found", () => types.get("job.upserted"));
  });
}
