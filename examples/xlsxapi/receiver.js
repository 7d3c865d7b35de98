// Another customer of xlsxapi, who has read its page about webhooks and nothing else.

const express = require("express");

const app = express();
app.use(express.json());

app.post("/webhooks/xlsxapi", (request, response) => {
  const job = request.body;
  if (job.status === "completed") console.log(`${job.job_id}: the premium is ${job.outputs.premium}`);
  else if (job.status === "failed") console.log(`${job.job_id}: ${job.error_message}`);
  response.json({ received: true });
});

module.exports = app;
