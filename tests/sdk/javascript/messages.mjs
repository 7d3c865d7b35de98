// Messages: made once, found in every way, forgotten when asked.

import { NOBODY, equal, hasFields, holds, moment, nothing, refused, sdk, walked } from "./frame.mjs";

const APP = "messages";

export async function check(run, svix, receiver) {
  await svix.application.create({ name: "Messages", uid: APP });
  await svix.endpoint.create(APP, { url: receiver.url("messages"), uid: "all" });
  await made(run, svix, receiver);
  await listed(run, svix);
  await expunged(run, svix);
}

async function made(run, svix, receiver) {
  const { message } = svix;
  const payload = { n: 1.5, text: "größe ☃", deep: { list: [null, true, {}] } };
  await run.check("message.create", "with every option, found at once in every way", async () => {
    const whole = { eventType: "job.completed", payload, eventId: "run-1", channels: ["eu"] };
    const answer = await message.create(APP, { ...whole, payloadRetentionPeriod: 30 });
    hasFields(answer, whole);
    holds(/^msg_\w{27}$/.test(answer.id), `an id: ${answer.id}`);
    equal(JSON.parse((await receiver.arrived("messages", 1, answer.id))[0].body), payload, "what came");
    equal(await message.get(APP, answer.id), answer, "by id");
    equal(await message.get(APP, "run-1"), answer, "by event id");
    equal((await message.get(APP, "run-1", { withContent: false })).payload, {}, "payload");
  });
  await run.check("message.create", "a raw payload goes out as it was written", async () => {
    const raw = '{ "n" :  1.50, "n2":1e3 }';
    const { id } = await message.create(APP, sdk.messageInRaw("job.created", raw));
    equal((await receiver.arrived("messages", 1, id))[0].body, raw, "what came");
  });
  await run.check("message.create", "repeated, is one message", async () => {
    const body = { eventType: "job.completed", payload: {}, eventId: "once" };
    const options = { idempotencyKey: "contract-message-1" };
    const first = await message.create(APP, body, options);
    equal(await message.create(APP, body, options), first, "the second answer");
    await refused(409, "conflict", () => message.create(APP, body));
    const last = await message.create(APP, { eventType: "job.created", payload: {} });
    await receiver.arrived("messages", 1, last.id);
    equal(receiver.here("messages", first.id).length, 1, "requests");
  });
  await run.check("message.create", "makes its application when there is none", async () => {
    const application = { name: "With a message", uid: "with-a-message" };
    const body = { eventType: "job.created", payload: {}, application };
    await message.create("with-a-message", body);
    hasFields(await svix.application.get("with-a-message"), application);
  });
  await run.check("message.create", "what cannot be is told", async () => {
    const fine = { eventType: "job.created", payload: {} };
    for (const wrong of [
      { eventType: "has space" },
      { eventType: undefined },
      { payload: undefined },
      { payload: [] },
      { payload: "text" },
      { eventId: "has space" },
      { channels: [] },
      { payloadRetentionPeriod: 4 },
    ]) {
      await refused(422, "", () => message.create(APP, { ...fine, ...wrong }));
    }
    const large = { ...fine, payload: { x: "y".repeat(2_000_000) } };
    await refused(413, "payload_too_large", () => message.create(APP, large));
    await refused(404, "not_found", () => message.create("nobody", fine));
  });
  await run.check("message.get", "what is not there is not found", async () => {
    await refused(404, "not_found", () => message.get(APP, `msg_${NOBODY}`));
    await refused(404, "not_found", () => message.get("nobody", "run-1"));
  });
}

async function listed(run, svix) {
  const { message } = svix;
  const app = "message-list";
  await svix.application.create({ name: "Lists", uid: app });
  let middle;
  for (let n = 0; n < 7; n += 1) {
    if (n === 3) middle = await moment();
    const eventType = ["job.created", "job.completed"][n % 2];
    const channels = [["eu"], ["us", "eu"], undefined][n % 3];
    await message.create(app, { eventType, payload: { n }, channels });
  }
  const list = (more) => (page) => message.list(app, { ...page, ...more });
  await run.check("message.list", "is walked newest first to its end and back", async () => {
    const rows = await walked(list({}), 2);
    equal(rows.map((row) => row.payload.n).sort(), [0, 1, 2, 3, 4, 5, 6], "all of them");
    const times = rows.map((row) => row.timestamp.getTime());
    equal(times, [...times].sort((a, b) => b - a), "the order");
    equal(await walked(list({}), 7), rows, "the same when a page is just full");
  });
  await run.check("message.list", "by type, channel and time, without payloads when asked", async () => {
    const rows = (await message.list(app)).data;
    const ids = (some) => some.map((row) => row.id);
    const expect = async (options, holds) => {
      equal(ids(await walked(list(options), 2)), ids(rows.filter(holds)), JSON.stringify(options));
    };
    await expect({ eventTypes: ["job.created"] }, (row) => row.eventType === "job.created");
    await expect({ eventTypes: ["job.created", "job.completed"] }, () => true);
    await expect({ channel: "us" }, (row) => row.channels?.includes("us"));
    await expect({ before: middle }, (row) => row.payload.n < 3);
    const after = (await message.list(app, { after: middle })).data;
    equal(ids(after), ids(rows.filter((row) => row.payload.n >= 3)), "after");
    const bare = (await message.list(app, { withContent: false })).data;
    equal(new Set(bare.map((row) => JSON.stringify(row.payload))), new Set(["{}"]), "payloads");
    await refused(422, "", () => message.list(app, { limit: 0 }));
  });
}

async function expunged(run, svix) {
  const { message } = svix;
  await run.check("message.expunge_content", "the payload is gone, and is not sent again", async () => {
    const { id } = await message.create(APP, { eventType: "job.created", payload: { secret: 1 } });
    equal(await message.expungeContent(APP, id), undefined, "the answer");
    equal((await message.get(APP, id)).payload, { expired: true }, "the payload");
    nothing(await message.get(APP, id), "eventId");
    await refused(400, "missing_payload", () => svix.messageAttempt.resend(APP, id, "all"));
    await refused(404, "not_found", () => message.expungeContent(APP, `msg_${NOBODY}`));
  });
}
