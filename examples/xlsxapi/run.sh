#!/usr/bin/env bash
# xlsxapi on posthaste: one request for each job that names a URL, and the job's row that says what came of it.
source "$(dirname "${BASH_SOURCE[0]}")/../support/stage.sh"

heading "The preset"
call PATCH "/app/$APPLICATION/settings" settings.json; echo

receive receiver.py
python_receiver=$receiver
receive receiver.js https
execute() { # customer's age, property's value, the receiver
  local inputs="{\"customerAge\": $1, \"propertyValue\": $2}"
  "$python" producer.py execute "{\"inputs\": $inputs, \"webhook_url\": \"$3/webhooks/xlsxapi\"}"
}

heading "Three jobs: done, done for the customer with Express over https, and failed"
printed=$(execute 35 500000 "$python_receiver"; execute 40 200000 "$receiver"; execute 35 0 "$python_receiver")
echo "$printed"
heading "What the receivers have"
shows 3

heading "A receiver that answers 500 gets no second request"
echo "500 always" >"$folder/trouble"
printed+=$'\n'$(execute 35 700000 "$python_receiver")

heading "The jobs' rows, as GET /jobs/{id} answers: one result of the feed for each"
"$python" producer.py track 4
while read -r line; do
  "$python" producer.py status "$("$python" -c 'import json, sys; print(json.loads(sys.argv[1])["subject"])' "$line")"
done <<<"$printed"
[ "$(wc -l <"$folder/received")" = 4 ] || fail "a webhook was sent twice"
