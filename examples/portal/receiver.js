// A customer of the platform: two endpoints that verify with the official library, drop what came before,
// answer at once and work afterwards.
//
// environment: SECRETS, a JSON object: the secret that the portal shows for each endpoint, by its path

const express = require("express");
const { Webhook } = require("standardwebhooks");

const secrets = JSON.parse(process.env.SECRETS);
const app = express();
const seen = new Set();

// The signature is over the bytes as they came: so the body is not read as JSON here.
app.post("/webhooks/:name", express.raw({ type: "application/json" }), (request, response) => {
  let event;
  try {
    event = new Webhook(secrets[request.path]).verify(request.body.toString(), request.headers);
  } catch (error) {
    return response.status(401).json({ error: error.message });
  }
  const known = seen.has(`${request.path} ${request.headers["webhook-id"]}`);
  seen.add(`${request.path} ${request.headers["webhook-id"]}`);
  response.status(204).end();
  if (!known) console.log(`${request.path}: ${event.type} ${JSON.stringify(event.data ?? event)}`);
});

module.exports = app;
