//! How a receiver verifies our signatures: a few lines for each language, by the libraries of Standard Webhooks, and by hand
//! for a shell.
//!
//! What is called here is what these libraries have: the methods' names and what they take stand in their own sources. They
//! verify v1 alone. The secret is read from the receiver's environment, so that nobody copies one into a program.

/// Some lines to copy.
pub(super) struct Snippet {
    /// In which language.
    pub(super) language: &'static str,
    /// How the library is had.
    pub(super) install: &'static str,
    /// The lines.
    pub(super) code: &'static str,
}

/// All of them.
pub(super) fn all() -> Vec<Snippet> {
    ALL.map(|(language, install, code)| Snippet { language, install, code }).into()
}

const ALL: [(&str, &str, &str); 9] = [
    (
        "Node.js",
        "npm install standardwebhooks",
        r#"import { Webhook } from "standardwebhooks";

// Express: app.post("/webhooks", express.raw({ type: "*/*" }), (request, response) => { … })
const webhook = new Webhook(process.env.WEBHOOK_SECRET);
try {
  const event = webhook.verify(request.body.toString(), request.headers);
  response.sendStatus(204);
} catch {
  response.sendStatus(400);
}"#,
    ),
    (
        "Python",
        "pip install standardwebhooks",
        r#"import os
from standardwebhooks import Webhook, WebhookVerificationError

webhook = Webhook(os.environ["WEBHOOK_SECRET"])
try:
    event = webhook.verify(request.get_data(), dict(request.headers))  # Flask
except WebhookVerificationError:
    abort(400)"#,
    ),
    (
        "Rust",
        "cargo add standardwebhooks",
        r#"use axum::{body::Bytes, http::{HeaderMap, StatusCode}};
use standardwebhooks::Webhook;

async fn receive(headers: HeaderMap, body: Bytes) -> StatusCode {
    let secret = std::env::var("WEBHOOK_SECRET").expect("the secret is set");
    let webhook = Webhook::new(&secret).expect("a secret");
    match webhook.verify(&body, &headers) {
        Ok(()) => StatusCode::NO_CONTENT,
        Err(_) => StatusCode::BAD_REQUEST,
    }
}"#,
    ),
    (
        "Go",
        "go get github.com/standard-webhooks/standard-webhooks/libraries",
        r#"import standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

webhook, err := standardwebhooks.NewWebhook(os.Getenv("WEBHOOK_SECRET"))
if err != nil {
	log.Fatal(err)
}
body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
if err != nil || webhook.Verify(body, r.Header) != nil {
	http.Error(w, "bad signature", http.StatusBadRequest)
	return
}
w.WriteHeader(http.StatusNoContent)"#,
    ),
    (
        "Java",
        "com.standardwebhooks:standardwebhooks",
        r#"import com.standardwebhooks.Webhook;
import java.net.http.HttpHeaders;
import java.util.List;
import java.util.Map;

Webhook webhook = new Webhook(System.getenv("WEBHOOK_SECRET"));
HttpHeaders headers = HttpHeaders.of(Map.of(
    "webhook-id", List.of(request.getHeader("webhook-id")),
    "webhook-timestamp", List.of(request.getHeader("webhook-timestamp")),
    "webhook-signature", List.of(request.getHeader("webhook-signature"))), (name, value) -> true);
webhook.verify(body, headers); // throws WebhookVerificationException"#,
    ),
    (
        "PHP",
        "composer require standard-webhooks/standard-webhooks",
        r"$webhook = new \StandardWebhooks\Webhook(getenv('WEBHOOK_SECRET'));
$body = file_get_contents('php://input');
$headers = array_change_key_case(getallheaders(), CASE_LOWER);
try {
    $event = $webhook->verify($body, $headers);
    http_response_code(204);
} catch (\StandardWebhooks\Exception\WebhookVerificationException $error) {
    http_response_code(400);
}",
    ),
    (
        "Ruby",
        "gem install standardwebhooks",
        r#"require "standardwebhooks"

webhook = StandardWebhooks::Webhook.new(ENV.fetch("WEBHOOK_SECRET"))
begin
  event = webhook.verify(request.raw_post, request.headers) # Rails
  head :no_content
rescue StandardWebhooks::WebhookVerificationError
  head :bad_request
end"#,
    ),
    (
        "C#",
        "dotnet add package StandardWebhooks",
        r#"using System.Net;
using StandardWebhooks;
using StandardWebhooks.Exceptions;

var webhook = new Webhook(Environment.GetEnvironmentVariable("WEBHOOK_SECRET"));
var headers = new WebHeaderCollection();
foreach (var name in new[] { "webhook-id", "webhook-timestamp", "webhook-signature" })
    headers.Set(name, request.Headers[name]);
try { webhook.Verify(body, headers); }
catch (WebhookVerificationException) { return Results.BadRequest(); }
return Results.NoContent();"#,
    ),
    (
        "curl and openssl",
        "By hand: the signature that the headers should have.",
        r#"# WEBHOOK_ID, WEBHOOK_TIMESTAMP: the headers' values; body: a file with the bytes as they came
key=$(printf %s "${WEBHOOK_SECRET#whsec_}" | base64 -d | od -An -v -tx1 | tr -d ' \n')
{ printf '%s.%s.' "$WEBHOOK_ID" "$WEBHOOK_TIMESTAMP"; cat body; } |
  openssl dgst -sha256 -mac HMAC -macopt "hexkey:$key" -binary | base64 | sed 's/^/v1,/'"#,
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_snippet_holds_a_secret_and_each_takes_it_from_the_environment() {
        for Snippet { language, code, .. } in all() {
            assert!(code.contains("WEBHOOK_SECRET"), "{language}");
            let behind = code.split("whsec_").nth(1);
            assert!(behind.is_none_or(|rest| rest.starts_with('}')), "{language}");
        }
    }
}
