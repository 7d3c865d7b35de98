// A customer of Xora, who has read its page about webhooks and nothing else.

const express = require("express");

const app = express();
app.use(express.json());

app.post("/webhooks/xora", (request, response) => {
  const { data, timestamp } = request.body;
  const at = new Date(timestamp).toISOString();
  if (data.error) console.log(`${at} ${data.jobId}: ${data.error.code} in ${data.error.stage}`);
  else console.log(`${at} ${data.jobId}: ${data.state}, ${data.progress} %`);
  response.sendStatus(200);
});

module.exports = app;
