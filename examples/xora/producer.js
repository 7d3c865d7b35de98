// Xora's own service, as far as its webhooks go: publishes how a job ended.
//
// usage: producer.js JOB    the JSON of a job: jobId, state, progress, what belongs to its state, and webhookUrl
//                           when its customer gave one; prints what it published
//
// environment: AMQP_URL, PREFIX, APPLICATION (its id or uid at posthaste)

const amqplib = require("amqplib");

const { AMQP_URL, PREFIX = "posthaste", APPLICATION } = process.env;

async function publish({ webhookUrl, ...data }) {
  const connection = await amqplib.connect(AMQP_URL);
  const channel = await connection.createConfirmChannel();
  let returned = false;
  channel.on("return", () => (returned = true));

  const event = { id: `${data.jobId}.${data.state}`, type: `job.${data.state}` };
  const body = JSON.stringify({ data, timestamp: Date.now() });
  const headers = { subject: data.jobId };
  if (webhookUrl) headers["webhook-url"] = webhookUrl; // without it, the default URL is called
  channel.publish(`${PREFIX}.events`, `${APPLICATION}.${event.type}`, Buffer.from(body), {
    messageId: event.id,
    type: event.type,
    contentType: "application/json",
    persistent: true,
    mandatory: true,
    headers,
  });
  await channel.waitForConfirms(); // the event is durable
  await connection.close();
  if (returned) throw new Error(`nobody takes events of ${PREFIX}`);
  console.log(JSON.stringify({ ...event, subject: data.jobId, body }));
}

publish(JSON.parse(process.argv[2])).catch((error) => {
  console.error(error.message);
  process.exitCode = 1;
});
