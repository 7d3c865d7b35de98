// What became of messages: attempts, deliveries, and sending again.
//
// The application `contract` is made before the router starts, with two endpoints whose retries the
// API of others knows no words for: `gives-up` is tried once, `retries` is tried again after an hour.

import { NOBODY, equal, eventually, hasFields, holds, nothing, refused, walked } from "./frame.mjs";

const APP = "contract";
const COUNT = 5;
const HOUR_MS = 3_600_000;

export async function check(run, svix, receiver) {
  receiver.answers("gives-up", 500);
  receiver.answers("retries", 500); // a 502 or 503 would slow the whole endpoint
  const began = new Date(Date.now() - 1);
  await svix.endpoint.create(APP, { url: receiver.url("accepts"), uid: "accepts" });
  const ids = [];
  for (let n = 0; n < COUNT; n += 1) {
    const eventType = ["job.completed", "job.failed"][n % 2];
    const channels = [["eu"], ["us"], undefined][n % 3];
    const message = { eventType, channels, payload: { n }, eventId: `run-${n}` };
    ids.unshift((await svix.message.create(APP, message)).id);
  }
  const attempt = svix.messageAttempt;
  for (const name of ["accepts", "gives-up", "retries"]) {
    await eventually(`all attempts at ${name} are recorded`, async () => {
      return (await attempt.listByEndpoint(APP, name)).data.length === COUNT;
    });
  }
  await byEndpoint(run, svix, receiver);
  await byMessage(run, svix, ids);
  await deliveries(run, attempt, ids);
  await one(run, attempt);
  await stats(run, svix.endpoint);
  await again(run, svix, receiver, ids, began);
}

async function byEndpoint(run, svix, receiver) {
  const attempt = svix.messageAttempt;
  const operation = "message_attempt.list_by_endpoint";
  await run.check(operation, "has everything about each attempt", async () => {
    const endpoint = await svix.endpoint.get(APP, "accepts");
    const rows = await walked((page) => attempt.listByEndpoint(APP, "accepts", page), 2);
    equal(rows.length, COUNT, "rows");
    for (const row of rows) {
      hasFields(row, {
        url: receiver.url("accepts"),
        response: "answer of accepts",
        responseStatusCode: 200,
        status: 0,
        statusText: "success",
        triggerType: 0,
        endpointId: endpoint.id,
      });
      holds(/^atmpt_\w{27}$/.test(row.id) && row.responseDurationMs >= 0, `${row.id}`);
    }
    const [refusal] = (await attempt.listByEndpoint(APP, "gives-up")).data;
    hasFields(refusal, { status: 2, statusText: "fail", responseStatusCode: 500 });
  });
  await run.check(operation, "by status, class, channel, type and time", async () => {
    const middle = (await attempt.listByEndpoint(APP, "accepts")).data[2].timestamp;
    const rows = (await attempt.listByEndpoint(APP, "accepts")).data;
    for (const [name, options, count] of [
      ["accepts", { status: 0 }, COUNT],
      ["accepts", { status: 2 }, 0],
      ["gives-up", { status: 2 }, COUNT],
      ["gives-up", { statusCodeClass: 500 }, COUNT],
      ["gives-up", { statusCodeClass: 200 }, 0],
      ["accepts", { channel: "eu" }, 2],
      ["accepts", { eventTypes: ["job.failed"] }, 2],
      ["accepts", { eventTypes: ["job.failed", "job.completed"], channel: "us" }, 2],
      ["accepts", { before: middle }, rows.filter((row) => row.timestamp < middle).length],
      ["accepts", { after: middle }, rows.filter((row) => row.timestamp > middle).length],
    ]) {
      const found = (await attempt.listByEndpoint(APP, name, options)).data;
      equal(found.length, count, `attempts at ${name} with ${JSON.stringify(options)}`);
    }
    const without = (await attempt.listByEndpoint(APP, "accepts", { withContent: false })).data;
    equal(without[0].response, "{}", "the response when it is not wanted");
    const [withMsg] = (await attempt.listByEndpoint(APP, "accepts", { withMsg: true })).data;
    equal(withMsg.msg?.id, withMsg.msgId, "msg");
    await refused(404, "not_found", () => attempt.listByEndpoint(APP, "nobody"));
  });
}

async function byMessage(run, svix, ids) {
  const attempt = svix.messageAttempt;
  await run.check("message_attempt.list_by_msg", "has the attempts at all endpoints, or at one", async () => {
    const rows = await walked((page) => attempt.listByMsg(APP, ids[0], page), 2);
    equal(rows.map((row) => row.response).sort(), [
      "answer of accepts",
      "answer of gives-up",
      "answer of retries",
    ], "responses");
    const at = (await attempt.listByMsg(APP, ids[0], { endpointId: "accepts" })).data;
    equal(at.map((row) => row.status), [0], "statuses");
    equal((await attempt.listByMsg(APP, ids[0], { status: 2 })).data.length, 2, "failures");
    equal((await attempt.listByMsg(APP, ids[0], { statusCodeClass: 200 })).data.length, 1, "2xx");
    await refused(404, "not_found", () => attempt.listByMsg(APP, ids[0], { endpointId: "nobody" }));
    await refused(404, "not_found", () => attempt.listByMsg(APP, `msg_${NOBODY}`));
  });
}

async function deliveries(run, attempt, ids) {
  const messages = "message_attempt.list_attempted_messages";
  await run.check(messages, "has each message with how it stands", async () => {
    for (const [name, status, statusText] of [
      ["accepts", 0, "success"],
      ["gives-up", 2, "fail"],
      ["retries", 3, "sending"],
    ]) {
      const list = (page) => attempt.listAttemptedMessages(APP, name, page);
      const rows = await walked(list, 2);
      equal(rows.map((row) => row.id), ids, `messages to ${name}`);
      for (const row of rows) hasFields(row, { status, statusText });
      holds(rows.every((row) => (row.nextAttempt != null) === (name === "retries")), "next attempts");
      for (const other of [0, 2, 3]) {
        const count = (await list({ status: other })).data.length;
        equal(count, other === status ? COUNT : 0, `${name} with ${other}`);
      }
      equal((await list({ status: 1 })).data, [], "pending");
    }
    const some = { channel: "eu", eventTypes: ["job.completed"] };
    equal((await attempt.listAttemptedMessages(APP, "accepts", some)).data.length, 1, "filtered");
  });
  await run.check("message_attempt.list_attempted_destinations", "has each endpoint", async () => {
    const list = (page) => attempt.listAttemptedDestinations(APP, ids[0], page);
    const rows = await walked(list, 2);
    const states = Object.fromEntries(rows.map((row) => [row.uid, row.status]));
    equal(states, { accepts: 0, "gives-up": 2, retries: 3 }, "statuses");
    equal(rows.map((row) => row.id), rows.map((row) => row.id).sort(), "the order");
  });
}

async function one(run, attempt) {
  await run.check("message_attempt.get", "is the one of the list", async () => {
    const [row] = (await attempt.listByEndpoint(APP, "gives-up")).data;
    equal(await attempt.get(APP, row.msgId, row.id), row, "what is read");
    await refused(404, "not_found", () => attempt.get(APP, row.msgId, `atmpt_${NOBODY}`));
  });
  await run.check("message_attempt.expunge_content", "what was answered is gone", async () => {
    const [row] = (await attempt.listByEndpoint(APP, "gives-up")).data;
    equal(await attempt.expungeContent(APP, row.msgId, row.id), undefined, "the answer");
    equal((await attempt.get(APP, row.msgId, row.id)).response, "EXPUNGED", "the response");
  });
}

async function stats(run, endpoint) {
  await run.check("endpoint.get_stats", "counts deliveries by how they stand", async () => {
    hasFields(await endpoint.getStats(APP, "gives-up"), { fail: COUNT, success: 0, sending: 0 });
    hasFields(await endpoint.getStats(APP, "accepts"), { fail: 0, success: COUNT, pending: 0 });
    hasFields(await endpoint.getStats(APP, "retries"), { sending: COUNT, canceled: 0 });
    const earlier = { since: new Date(Date.now() - 2 * HOUR_MS), until: new Date(Date.now() - HOUR_MS) };
    equal((await endpoint.getStats(APP, "accepts", earlier)).success, 0, "an hour ago");
    const future = { until: new Date(Date.now() + HOUR_MS) };
    await refused(400, "invalid_range", () => endpoint.getStats(APP, "accepts", future));
  });
}

async function again(run, svix, receiver, ids, began) {
  const attempt = svix.messageAttempt;
  await run.check("message_attempt.resend", "one that was given up goes out again, by hand", async () => {
    receiver.answers("gives-up", 200);
    await attempt.resend(APP, ids[0], "gives-up");
    await receiver.arrived("gives-up", 2, ids[0]);
    const rows = await eventually("the attempt is recorded", async () => {
      const { data } = await attempt.listByMsg(APP, ids[0], { endpointId: "gives-up" });
      return data.length === 2 && data;
    });
    equal(rows.map((row) => row.triggerType), [1, 0], "trigger types, newest first");
    await refused(404, "not_found", () => attempt.resend(APP, ids[0], "nobody"));
  });
  await run.check("endpoint.recover", "what failed since then goes out again, and nothing else", async () => {
    const task = await svix.endpoint.recover(APP, "gives-up", { since: began });
    hasFields(task, { task: "endpoint.recover" });
    holds(["running", "finished"].includes(task.status) && /^rpl_/.test(task.id), task.id);
    await eventually("everything is delivered", async () => {
      const rows = (await attempt.listAttemptedMessages(APP, "gives-up")).data;
      return rows.every((row) => row.status === 0);
    });
    equal(ids.map((id) => receiver.here("gives-up", id).length), ids.map(() => 2), "requests");
    await run.check("background_task.get", "tells how it went", async () => {
      const now = await eventually("the task is through", async () => {
        const asked = await svix.backgroundTask.get(task.id);
        return asked.status === "finished" && asked;
      });
      hasFields(now, { id: task.id, task: task.task });
    });
    const longAgo = new Date(Date.now() - 15 * 24 * HOUR_MS);
    await refused(422, "", () => svix.endpoint.recover(APP, "gives-up", { since: longAgo }));
  });
  await run.check("endpoint.replay_missing", "what was never sent to it goes out, by its filter", async () => {
    const late = { url: receiver.url("late"), uid: "late", filterTypes: ["job.completed"] };
    nothing(await svix.endpoint.create(APP, late), "channels");
    const task = await svix.endpoint.replayMissing(APP, "late", { since: began });
    hasFields(task, { task: "endpoint.replay" });
    const come = (await receiver.arrived("late", 3)).map((one) => one.id).sort();
    equal(come, ids.filter((_, place) => place % 2 === 0).sort(), "what came");
  });
}
