// The bare Node.js worker: what one would write in an afternoon with the usual libraries. Consumes, signs, POSTs to
// every endpoint, acknowledges once all have answered. No journal, no retries, no limits: a message that could not be
// delivered is dropped, and said so.
//
//   node worker.mjs BROKER QUEUE URL[,URL...]
import { createHmac } from 'node:crypto';
import amqp from 'amqplib';
import { Agent, request } from 'undici';

/** Messages on their way at the same time. */
const PREFETCH = 200;

const [broker, queue, urls] = process.argv.slice(2);
const endpoints = urls.split(',');
const key = Buffer.alloc(32, 7);
const dispatcher = new Agent({ keepAliveTimeout: 60_000, pipelining: 1 });

async function post(url, headers, body) {
  const answer = await request(url, { method: 'POST', headers, body, dispatcher });
  await answer.body.dump();
  if (answer.statusCode >= 300) throw new Error(`answered ${answer.statusCode}`);
}

const connection = await amqp.connect(broker, { noDelay: true });
const channel = await connection.createChannel();
await channel.prefetch(PREFETCH);
await channel.consume(queue, async (message) => {
  const id = `msg_${message.properties.messageId}`;
  const timestamp = Math.floor(Date.now() / 1000);
  const signed = createHmac('sha256', key).update(`${id}.${timestamp}.`).update(message.content);
  const headers = {
    'content-type': 'application/json',
    'webhook-id': id,
    'webhook-timestamp': String(timestamp),
    'webhook-signature': `v1,${signed.digest('base64')}`,
  };
  try {
    await Promise.all(endpoints.map((url) => post(url, headers, message.content)));
    channel.ack(message);
  } catch (error) {
    console.error(`dropped ${id}: ${error.message}`);
    channel.nack(message, false, false);
  }
});
