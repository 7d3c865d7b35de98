// Endpoints: every option, secrets and headers, and what of it is seen in what is delivered.

import { NOBODY, equal, hasFields, holds, nothing, refused, walked } from "./frame.mjs";
import { verified } from "./receiver.mjs";

const APP = "endpoints";
const NOWHERE = "http://127.0.0.1:1024/nowhere";
const secretOf = (text) => `whsec_${Buffer.from(text).toString("base64")}`;
const SECRET = secretOf("thirty-two bytes of no chance at");
const OTHER_SECRET = secretOf("another thirty-two of no chance ");

export async function check(run, svix, receiver) {
  await svix.application.create({ name: "Endpoints", uid: APP });
  await made(run, svix.endpoint);
  await changed(run, svix.endpoint);
  await listed(run, svix);
  await headers(run, svix, receiver);
  await filters(run, svix, receiver);
  await secrets(run, svix, receiver);
  await examples(run, svix, receiver);
}

async function made(run, endpoint) {
  const whole = {
    url: NOWHERE,
    description: "with everything",
    rateLimit: 100,
    uid: "whole",
    version: 3,
    disabled: true,
    filterTypes: ["job.completed", "job.failed"],
    channels: ["eu", "us"],
    metadata: { team: "blue" },
  };
  await run.check("endpoint.create", "with every option, and all of it comes back", async () => {
    const answer = await endpoint.create(APP, { ...whole, secret: SECRET });
    const sorted = { filterTypes: answer.filterTypes?.sort(), channels: answer.channels?.sort() };
    hasFields({ ...answer, ...sorted }, { ...whole, throttleRate: 100 });
    holds(/^ep_\w{27}$/.test(answer.id), `an id: ${answer.id}`);
    equal(await endpoint.get(APP, "whole"), answer, "what is read by uid");
    equal(await endpoint.get(APP, answer.id), answer, "what is read by id");
  });
  await run.check("endpoint.get_secret", "is the one that was chosen, or one that was made", async () => {
    equal((await endpoint.getSecret(APP, "whole")).key, SECRET, "key");
    const bare = await endpoint.create(APP, { url: NOWHERE });
    hasFields(bare, { description: "", disabled: false, metadata: {} });
    nothing(bare, "uid", "rateLimit", "throttleRate", "filterTypes", "channels");
    const { key } = await endpoint.getSecret(APP, bare.id);
    holds(/^whsec_.{32,88}$/.test(key), "whsec_ and 24 to 64 bytes");
  });
  await run.check("endpoint.create", "what cannot be is told", async () => {
    for (const wrong of [
      { url: "nonsense" },
      { uid: "has space" },
      { filterTypes: [] },
      { filterTypes: ["job.unheard"] },
      { channels: [] },
      { secret: "whsec_c2hvcnQ=" },
      { rateLimit: 0 },
      { version: 0 },
    ]) {
      await refused(422, "", () => endpoint.create(APP, { url: NOWHERE, ...wrong }));
    }
    await refused(422, "", () => endpoint.create(APP, {}));
    await refused(409, "conflict", () => endpoint.create(APP, { url: NOWHERE, uid: "whole" }));
    await refused(404, "not_found", () => endpoint.create("nobody", { url: NOWHERE }));
  });
  await run.check("endpoint.create", "with the same idempotency key is done once", async () => {
    const options = { idempotencyKey: "contract-endpoint-1" };
    const first = await endpoint.create(APP, { url: NOWHERE }, options);
    equal(await endpoint.create(APP, { url: NOWHERE }, options), first, "the second answer");
  });
  await run.check("endpoint.get", "what is not there is not found", async () => {
    await refused(404, "not_found", () => endpoint.get(APP, "nobody"));
    await refused(404, "not_found", () => endpoint.get(APP, `ep_${NOBODY}`));
    await refused(404, "not_found", () => endpoint.get("nobody", "whole"));
  });
}

async function changed(run, endpoint) {
  await run.check("endpoint.upsert", "replaces everything but the secret, or makes it", async () => {
    const answer = await endpoint.update(APP, "whole", { url: `${NOWHERE}/2`, uid: "whole" });
    hasFields(answer, { url: `${NOWHERE}/2`, description: "", disabled: false, metadata: {} });
    nothing(answer, "rateLimit", "filterTypes", "channels");
    equal((await endpoint.getSecret(APP, "whole")).key, SECRET, "the secret");
    hasFields(await endpoint.update(APP, "new", { url: NOWHERE, uid: "new" }), { uid: "new" });
  });
  await run.check("endpoint.patch", "changes what is named, and null clears", async () => {
    const fields = { description: "p", rateLimit: 9, channels: ["eu"], filterTypes: ["job.failed"] };
    for (const [name, value] of Object.entries({ ...fields, disabled: true, metadata: { a: "b" } })) {
      equal((await endpoint.patch(APP, "new", { [name]: value }))[name], value, name);
    }
    hasFields(await endpoint.get(APP, "new"), { ...fields, disabled: true, metadata: { a: "b" } });
    for (const name of ["rateLimit", "channels", "filterTypes"]) {
      nothing(await endpoint.patch(APP, "new", { [name]: null }), name);
    }
    await refused(422, "", () => endpoint.patch(APP, "new", { url: null }));
  });
  await run.check("endpoint.delete", "it is gone, and its uid is free", async () => {
    const before = await endpoint.get(APP, "new");
    equal(await endpoint.delete(APP, "new"), undefined, "the answer");
    await refused(404, "not_found", () => endpoint.get(APP, before.id));
    await endpoint.create(APP, { url: NOWHERE, uid: "new" });
  });
}

async function listed(run, svix) {
  await svix.application.create({ name: "Many endpoints", uid: "many-endpoints" });
  for (let number = 0; number < 5; number += 1) {
    await svix.endpoint.create("many-endpoints", { url: NOWHERE, uid: `e${number}` });
  }
  await run.check("endpoint.list", "is walked to its end and back, both ways", async () => {
    const list = (page) => svix.endpoint.list("many-endpoints", page);
    const rows = await walked(list, 2);
    equal(rows.length, 5, "rows");
    equal(await walked(list, 5), rows, "the same when a page is just full");
    const back = await walked((page) => list({ ...page, order: "ascending" }), 2);
    equal(back.reverse(), rows, "the same oldest first");
  });
}

async function headers(run, svix, receiver) {
  const { endpoint } = svix;
  const lower = (given) =>
    Object.fromEntries(Object.entries(given).map(([name, value]) => [name.toLowerCase(), value]));
  await endpoint.create(APP, { url: receiver.url("headers"), uid: "headers" });
  await run.check("endpoint.set_headers", "go out with every request", async () => {
    const given = { "X-Team": "blue", Authorization: "Bearer hidden" };
    await endpoint.updateHeaders(APP, "headers", { headers: given });
    await svix.message.create(APP, { eventType: "job.created", payload: {} });
    const [arrived] = await receiver.arrived("headers", 1);
    hasFields(arrived.headers, lower(given));
  });
  await run.check("endpoint.get_headers", "leave sensitive values out", async () => {
    const answer = await endpoint.getHeaders(APP, "headers");
    equal(lower(answer.headers), { "x-team": "blue" }, "headers");
    equal(answer.sensitive.map((name) => name.toLowerCase()), ["authorization"], "sensitive");
  });
  await run.check("endpoint.patch_headers", "adds and changes, and null removes", async () => {
    await endpoint.patchHeaders(APP, "headers", { headers: { "X-Team": "red", "X-Second": "2" } });
    const first = await endpoint.getHeaders(APP, "headers");
    equal(lower(first.headers), { "x-team": "red", "x-second": "2" }, "headers");
    await endpoint.patchHeaders(APP, "headers", { headers: { "X-Second": null } });
    const second = await endpoint.getHeaders(APP, "headers");
    equal(lower(second.headers), { "x-team": "red" }, "headers");
    const wrong = { headers: { "User-Agent": "mine" } };
    await refused(422, "", () => endpoint.patchHeaders(APP, "headers", wrong));
    await refused(422, "", () => endpoint.updateHeaders(APP, "headers", wrong));
  });
  await endpoint.delete(APP, "headers");
}

async function filters(run, svix, receiver) {
  const wants = {
    all: {},
    exact: { filterTypes: ["job.completed"] },
    prefix: { filterTypes: ["job.*"] },
    channel: { channels: ["eu"] },
    off: { disabled: true },
  };
  for (const [uid, options] of Object.entries(wants)) {
    await svix.endpoint.create(APP, { url: receiver.url(`f-${uid}`), uid, ...options });
  }
  await run.check("webhook", "an endpoint gets what its filters say, and no more", async () => {
    const expected = { all: [], exact: [], prefix: [], channel: [], off: [] };
    for (const [eventType, channels, by] of [
      ["job.completed", ["eu"], ["all", "exact", "prefix", "channel"]],
      ["job.created", ["us"], ["all", "prefix"]],
      ["document.ready", undefined, ["all"]],
    ]) {
      const { id } = await svix.message.create(APP, { eventType, channels, payload: {} });
      for (const name of by) expected[name].push(id);
    }
    for (const [name, ids] of Object.entries(expected)) {
      const come = (await receiver.arrived(`f-${name}`, ids.length)).map((one) => one.id);
      equal(come.sort(), ids.sort(), `what came to ${name}`);
    }
  });
  for (const uid of Object.keys(wants)) await svix.endpoint.delete(APP, uid);
}

async function secrets(run, svix, receiver) {
  const { endpoint } = svix;
  const payload = { größe: [1.5, "☃"], n: null };
  const delivered = async () => {
    const { id } = await svix.message.create(APP, { eventType: "job.completed", payload });
    return (await receiver.arrived("secret", 1, id)).at(-1);
  };
  await endpoint.create(APP, { url: receiver.url("secret"), uid: "secret", secret: SECRET });
  await run.check("webhook", "is verified by the SDK, by either name of its headers", async () => {
    const arrived = await delivered();
    equal(verified(arrived, SECRET), payload, "the payload");
    for (const prefix of ["webhook-", "svix-"]) {
      const headers = Object.entries(arrived.headers).filter(([name]) => name.startsWith(prefix));
      equal(headers.length, 3, `headers that begin with ${prefix}`);
      verified({ body: arrived.body, headers: Object.fromEntries(headers) }, SECRET);
    }
  });
  await run.check("endpoint.rotate_secret", "the old and the new one verify while both hold", async () => {
    const change = { key: OTHER_SECRET, gracePeriodSeconds: 3_600 };
    await endpoint.rotateSecret(APP, "secret", change);
    const arrived = await delivered();
    verified(arrived, SECRET);
    verified(arrived, OTHER_SECRET);
    await endpoint.rotateSecret(APP, "secret", { gracePeriodSeconds: 0 });
    const { key } = await endpoint.getSecret(APP, "secret");
    holds(![SECRET, OTHER_SECRET].includes(key), "one that was made");
    verified(await delivered(), key);
    const wrong = { key: "whsec_c2hvcnQ=" };
    await refused(422, "", () => endpoint.rotateSecret(APP, "secret", wrong));
  });
  await endpoint.delete(APP, "secret");
}

async function examples(run, svix, receiver) {
  const { endpoint } = svix;
  await endpoint.create(APP, { url: receiver.url("example"), uid: "example" });
  await run.check("endpoint.send_example", "sends the example of the schema, or a ping", async () => {
    const first = await endpoint.sendExample(APP, "example", { eventType: "job.completed" });
    equal(JSON.parse((await receiver.arrived("example", 1, first.id))[0].body), { n: 17 }, "it");
    const ping = await endpoint.sendExample(APP, "example", { eventType: "svix.ping" });
    equal(JSON.parse((await receiver.arrived("example", 1, ping.id))[0].body), { success: true }, "it");
    const none = { eventType: "job.created" };
    await refused(400, "invalid_scheme", () => endpoint.sendExample(APP, "example", none));
  });
  await endpoint.delete(APP, "example");
}
