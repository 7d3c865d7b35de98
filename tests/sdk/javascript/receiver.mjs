// A receiver of the script's own: answers as it is told, keeps what came, verifies with the SDK.

import { createServer } from "node:http";

import { eventually, sdk } from "./frame.mjs";

/** Listens on a port of loopback. `/<name>` answers 200, or as told. */
export class Receiver {
  constructor(port) {
    this.port = port;
    this.arrivals = new Map();
    this.statuses = new Map();
    this.server = createServer((request, response) => {
      const chunks = [];
      request.on("data", (chunk) => chunks.push(chunk));
      request.on("end", () => {
        const name = request.url.slice(1);
        const arrived = { headers: request.headers, body: Buffer.concat(chunks).toString() };
        arrived.id = request.headers["webhook-id"];
        this.arrivals.set(name, [...(this.arrivals.get(name) ?? []), arrived]);
        response.writeHead(this.statuses.get(name) ?? 200);
        response.end(`answer of ${name}`);
      });
    });
  }

  listen() {
    return new Promise((resolve) => this.server.listen(this.port, "127.0.0.1", resolve));
  }

  close() {
    this.server.closeAllConnections();
    this.server.close();
  }

  url(name) {
    return `http://127.0.0.1:${this.port}/${name}`;
  }

  answers(name, status) {
    this.statuses.set(name, status);
  }

  here(name, id) {
    const all = this.arrivals.get(name) ?? [];
    return id === undefined ? all : all.filter((one) => one.id === id);
  }

  /** What has come to `/<name>` (about this message), once it is this much at least. */
  async arrived(name, count, id) {
    await eventually(`${count} have come to /${name}`, () => this.here(name, id).length >= count);
    return this.here(name, id);
  }
}

/** Its signature holds for this secret, and not for another body. */
export function verified(arrived, secret) {
  const webhook = new sdk.Webhook(secret);
  const payload = webhook.verify(arrived.body, arrived.headers);
  try {
    webhook.verify(`${arrived.body} `, arrived.headers);
  } catch {
    return payload;
  }
  throw new Error("another body verifies too");
}
