// Runs a customer's Express receiver as it is, and writes down every request before the receiver sees it.
//
// usage: receive.js RECEIVER
//
// RECEIVER is a module that exports an Express application. Environment and TROUBLE's lines are those of
// receive.py.

const fs = require("node:fs");
const path = require("node:path");

const { PORT, RECEIVED, TROUBLE, TLS_CERT, TLS_KEY } = process.env;
const app = require(path.resolve(process.argv[2]));

function writeDown(atMs, request, body) {
  if (!RECEIVED) return;
  const { method, url, headers } = request;
  const entry = { at_ms: atMs, method, path: url, headers, body: body.toString("base64") };
  fs.appendFileSync(RECEIVED, JSON.stringify(entry) + "\n");
}

function nextTrouble() {
  if (!TROUBLE || !fs.existsSync(TROUBLE)) return null;
  const lines = fs.readFileSync(TROUBLE, "utf8").split("\n").map((line) => line.trim()).filter(Boolean);
  if (lines.length === 0) return null;
  if (!lines[0].endsWith("always")) fs.writeFileSync(TROUBLE, lines.slice(1).join("\n"));
  return lines[0].split(" ")[0];
}

function serve(request, response) {
  const atMs = Date.now();
  const trouble = nextTrouble();
  const chunks = [];
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", () => {
    writeDown(atMs, request, Buffer.concat(chunks));
    if (trouble === null || trouble === "hang") return;
    response.statusCode = Number(trouble);
    response.end();
  });
  // Express reads the same stream, beside us.
  if (trouble === null) app(request, response);
}

const server = TLS_CERT
  ? require("node:https").createServer(
      { cert: fs.readFileSync(TLS_CERT), key: fs.readFileSync(TLS_KEY) },
      serve,
    )
  : require("node:http").createServer(serve);
server.listen(Number(PORT), "127.0.0.1");
