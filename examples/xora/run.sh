#!/usr/bin/env bash
# Xora on posthaste: a job's own URL before the default one, three requests within a second and a half, and
# a test call.
source "$(dirname "${BASH_SOURCE[0]}")/../support/stage.sh"

receive receiver.js
heading "The preset, with a default URL"
filled settings.json >"$folder/settings.json"
call PATCH "/app/$APPLICATION/settings" "$folder/settings.json"; echo
heading "The same in Xora's own words, and its test call"
node settings.js GET
node settings.js TEST

heading "A job that is done, and one that failed"
node producer.js '{"jobId": "job-1", "state": "completed", "progress": 100, "output": {"signedUrl": "https://files.example/1"}}'
node producer.js '{"jobId": "job-2", "state": "failed", "progress": 35, "error": {"code": "TRANSCODE_ERROR", "message": "code 1", "stage": "transcoding", "retryable": true}}'

heading "One with a URL of its own"
receive receiver.js
node producer.js "{\"jobId\": \"job-3\", \"state\": \"cancelled\", \"progress\": 60, \"webhookUrl\": \"$receiver/webhooks/xora\"}"
heading "What the receivers have"
shows 4

heading "A receiver that answers 500: three requests, and then it is abandoned"
before=$(wc -l <"$folder/received")
echo "500 always" >"$folder/trouble"
node producer.js '{"jobId": "job-4", "state": "rejected", "progress": 0}'
await "the third request has come" has_received $((before + 3))
tail -n 3 "$folder/received" | "$python" -c '
import json, sys
at = [json.loads(line)["at_ms"] for line in sys.stdin]
print("  ", *(f"+{one - at[0]} ms" for one in at))'
node settings.js TEST

heading "The default URL is cleared"
node settings.js PUT '{"defaultWebhookUrl": null}'
