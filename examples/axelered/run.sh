#!/usr/bin/env bash
# Axelered on posthaste: the customer's secret, its old header beside the standard's, waits that grow, and
# what is given up kept for later review.
source "$(dirname "${BASH_SOURCE[0]}")/../support/stage.sh"

heading "The preset"
call PATCH "/app/$APPLICATION/settings" settings.json; echo

heading "The customer's webhook, with a secret of its own"
port=$(free_port 10000)
"$python" "$examples/support/endpoints.py" . "https://127.0.0.1:$port"
SIGNING_SECRET=$("$python" -c 'import json; print(json.load(open("endpoints.json"))[0]["secret"])')
export SIGNING_SECRET
receive receiver.py https "$port"

heading "A run that is done"
"$python" producer.py run-1 done
shows 1
heading "What came with it"
"$python" - "$folder/received" <<'PYTHON'
import json, sys
for name, value in json.loads(open(sys.argv[1]).readline())["headers"].items():
    if "webhook" in name or "signature" in name:
        print("  ", name, value)
PYTHON

heading "The receiver breaks; so that this ends today, its webhook is tried three times within half a second"
endpoint=/app/$APPLICATION/endpoint/production-notifications
echo '{"policy": {"retry": {"kind": "schedule", "delaysMs": [100, 300]}}}' >"$folder/retry.json"
call PATCH "$endpoint" "$folder/retry.json" >/dev/null
echo "500 always" >"$folder/trouble"
"$python" producer.py run-2 failed
await "it is a dead letter" sh -c '"$0" dead-letters list --no-headers | grep -q dlv_' "$EXAMPLES_BINARY"
posthaste dead-letters list

heading "It is well again, and the dead letter is replayed"
rm "$folder/trouble"
posthaste replay start --app "$APPLICATION" --endpoint production-notifications --yes
shows 2

heading "The webhook is deleted: from the answer on, nothing more is sent"
call DELETE "$endpoint"
"$python" producer.py run-3 done
