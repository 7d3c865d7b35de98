// Xora's own settings, in the words of its own API: all that is left to do is to rename two fields.
//
// usage: settings.js GET | POST JSON | PUT JSON | TEST    prints what the customer is answered
//
// environment: API_URL (http://127.0.0.1:8071), API_TOKEN, APPLICATION

const { API_URL, API_TOKEN, APPLICATION } = process.env;

async function ask(method, path, body) {
  const answer = await fetch(`${API_URL}/api/v1/app/${APPLICATION}/settings${path}`, {
    method,
    headers: { authorization: `Bearer ${API_TOKEN}`, "content-type": "application/json" },
    body: body && JSON.stringify(body),
  });
  const said = await answer.json();
  if (!answer.ok) throw new Error(JSON.stringify(said));
  return said;
}

function asOurs({ defaultWebhookUrl, defaultStorageProviderId }) {
  const ours = {};
  if (defaultWebhookUrl !== undefined) ours.defaultUrl = defaultWebhookUrl;
  if (defaultStorageProviderId !== undefined) ours.attributes = { defaultStorageProviderId };
  return ours;
}

function asXoras({ defaultUrl, attributes, updatedAt }) {
  const defaultStorageProviderId = attributes.defaultStorageProviderId ?? null;
  return { defaultWebhookUrl: defaultUrl, defaultStorageProviderId, updatedAt };
}

// What a customer's receiver knows how to read.
function sample() {
  const data = { jobId: "00000000000000000000000000", state: "completed", progress: 100 };
  return { data, timestamp: Date.now() };
}

async function run(command, text) {
  if (command === "TEST") {
    const wish = { eventType: "job.completed", payload: sample() };
    const { ok, status } = await ask("POST", "/webhook/test", wish);
    return { ok, status };
  }
  return asXoras(await ask(command, "", text && asOurs(JSON.parse(text))));
}

run(...process.argv.slice(2)).then(
  (said) => console.log(JSON.stringify(said)),
  (error) => {
    console.error(error.message);
    process.exitCode = 1;
  },
);
