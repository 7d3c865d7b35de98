// The contract of the HTTP API, held with Svix's JavaScript SDK.
//
// usage: contract.mjs SUMMARY
//
// The environment says where: SDK_URL, SDK_TOKEN (the organisation's), SDK_APPLICATION_TOKEN (of the
// application `contract`), SDK_RECEIVER_PORT (free, where the endpoints of `contract` point), and
// TEST_NODE_MODULES (where the SDK is). Prints one line for each check; SUMMARY gets which operations
// were tried, as JSON. Ends with 1 when a check fails.

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import * as access from "./javascript/access.mjs";
import * as applications from "./javascript/applications.mjs";
import * as attempts from "./javascript/attempts.mjs";
import * as endpoints from "./javascript/endpoints.mjs";
import { Run } from "./javascript/frame.mjs";
import * as messages from "./javascript/messages.mjs";
import { Receiver } from "./javascript/receiver.mjs";

const run = new Run(process.env.SDK_URL);
const token = process.env.SDK_TOKEN;
const svix = run.client(token);
const receiver = new Receiver(Number(process.env.SDK_RECEIVER_PORT));
await receiver.listen();

for (const [name, part] of Object.entries({
  applications: () => applications.check(run, svix),
  endpoints: () => endpoints.check(run, svix, receiver),
  messages: () => messages.check(run, svix, receiver),
  attempts: () => attempts.check(run, svix, receiver),
  access: () => access.check(run, svix, token, process.env.SDK_APPLICATION_TOKEN),
})) {
  await run.check("sdk", `all of ${name} was tried`, part);
}
receiver.close();

const manifest = join(process.env.TEST_NODE_MODULES, "svix", "package.json");
const { version } = JSON.parse(readFileSync(manifest, "utf8"));
const summary = run.summary(`JavaScript svix ${version}`);
writeFileSync(process.argv[2], JSON.stringify(summary));
console.log(`${summary.checks} checks, ${summary.failed} failed, ${summary.sdk}`);
process.exitCode = summary.failed === 0 ? 0 : 1;
