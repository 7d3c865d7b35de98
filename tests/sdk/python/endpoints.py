"""Endpoints: every option, secrets and headers, and what of it is seen in what is delivered."""

import base64

from svix.api import EndpointCreateOptions, EndpointListOptions, MessageCreateOptions
from svix.models import (
    ApplicationIn,
    EndpointHeadersIn,
    EndpointHeadersPatchIn,
    EndpointIn,
    EndpointPatch,
    EndpointSecretRotateIn,
    EndpointUpsertIn,
    EventExampleIn,
    MessageIn,
    Ordering,
)
from svix.webhooks import Webhook

from frame import NOBODY, equal, has_fields, key_of, refused, true, walked

APP = "endpoints"
SECRET = "whsec_" + base64.b64encode(b"thirty-two bytes of no chance at").decode()
OTHER_SECRET = "whsec_" + base64.b64encode(b"another thirty-two of no chance ").decode()
NOWHERE = "http://127.0.0.1:1024/nowhere"


def check(run, svix, receiver):
    svix.application.create(ApplicationIn(name="Endpoints", uid=APP))
    made(run, svix.endpoint)
    refusals(run, svix.endpoint)
    changed(run, svix.endpoint)
    listed(run, svix)
    headers(run, svix, receiver)
    filters(run, svix, receiver)
    secrets(run, svix, receiver)
    examples(run, svix, receiver)


def made(run, endpoint):
    whole = EndpointIn(
        url=NOWHERE,
        description="with everything",
        throttle_rate=100,
        uid="whole",
        disabled=True,
        event_types=["job.completed", "job.failed"],
        channels=["eu", "us"],
        secret=SECRET,
        metadata={"team": "blue"},
        headers={"x-team": "blue"},
    )
    with run.check("endpoint.create", "with every option, and all of it comes back"):
        answer = endpoint.create(APP, whole)
        has_fields(
            answer,
            url=NOWHERE,
            description="with everything",
            throttle_rate=100,
            uid="whole",
            disabled=True,
            metadata={"team": "blue"},
        )
        equal(sorted(answer.event_types), ["job.completed", "job.failed"], "event_types")
        equal(sorted(answer.channels), ["eu", "us"], "channels")
        true(answer.id.startswith("ep_") and len(answer.id) == 30, f"an id: {answer.id}")
        equal(endpoint.get(APP, answer.id), answer, "what is read")
        equal(endpoint.get(APP, "whole"), answer, "what is read by uid")
    with run.check("endpoint.get_secret", "is the one that was chosen"):
        equal(endpoint.get_secret(APP, "whole").key, SECRET, "key")
    with run.check("endpoint.get_headers", "are those that it was made with"):
        equal(endpoint.get_headers(APP, "whole").headers, {"x-team": "blue"}, "headers")
    with run.check("endpoint.create", "with nothing but a URL"):
        bare = endpoint.create(APP, EndpointIn(url=NOWHERE, uid="bare"))
        nothing = {"uid": "bare", "description": "", "throttle_rate": None, "metadata": {}}
        has_fields(bare, event_types=None, channels=None, disabled=False, **nothing)
    with run.check("endpoint.get_secret", "is made when none was chosen"):
        key = endpoint.get_secret(APP, "bare").key
        bytes_in_it = len(base64.b64decode(key.removeprefix("whsec_")))
        true(key.startswith("whsec_") and 24 <= bytes_in_it <= 64, f"{bytes_in_it} bytes")
        Webhook(key)
    with run.check("endpoint.create", "with patterns for event types"):
        prefixed = EndpointIn(url=NOWHERE, uid="prefixed", event_types=["job.*", "document.ready"])
        answer = endpoint.create(APP, prefixed)
        equal(sorted(answer.event_types), ["document.ready", "job.*"], "event_types")
    with run.check("endpoint.create", "with the same idempotency key is done once"):
        options = EndpointCreateOptions(idempotency_key="contract-endpoint-1")
        first = endpoint.create(APP, EndpointIn(url=NOWHERE), options)
        equal(endpoint.create(APP, EndpointIn(url=NOWHERE), options), first, "the second answer")
    with run.check("endpoint.get", "what is not there is not found"):
        for app, name in [
            (APP, "nobody"),
            (APP, f"ep_{NOBODY}"),
            ("nobody", "whole"),
            (f"app_{NOBODY}", "whole"),
        ]:
            with refused(404, "not_found"):
                endpoint.get(app, name)


def refusals(run, endpoint):
    with run.check("endpoint.create", "a uid that is taken is a conflict"):
        with refused(409, "conflict"):
            endpoint.create(APP, EndpointIn(url=NOWHERE, uid="whole"))
    for field, wrong in [
        ("url", {"url": "nonsense"}),
        ("url", {"url": "ftp://127.0.0.1/x"}),
        ("uid", {"uid": "has space"}),
        ("uid", {"uid": "ep_of_mine"}),
        ("eventTypes", {"event_types": []}),
        ("eventTypes", {"event_types": ["job.unheard"]}),
        ("eventTypes", {"event_types": ["job completed"]}),
        ("channels", {"channels": []}),
        ("channels", {"channels": [f"c{n}" for n in range(11)]}),
        ("channels", {"channels": ["has space"]}),
        ("secret", {"secret": "whsec_c2hvcnQ="}),
        ("secret", {"secret": "whsec_not base64"}),
        ("throttleRate", {"throttle_rate": 0}),
        ("metadata", {"metadata": {"long": "x" * 4_096}}),
        ("headers", {"headers": {"svix-id": "mine"}}),
    ]:
        with run.check("endpoint.create", f"a wrong {field} is told: {str(wrong)[:48]}"):
            with refused(422, loc=["body", field]):
                endpoint.create(APP, EndpointIn(**{"url": NOWHERE, **wrong}))


def changed(run, endpoint):
    before = endpoint.get_secret(APP, "whole").key
    with run.check("endpoint.upsert", "replaces everything but the secret"):
        there = endpoint.get(APP, "whole")
        answer = endpoint.upsert(APP, "whole", EndpointUpsertIn(url=NOWHERE + "/2", uid="whole"))
        nothing = {"description": "", "throttle_rate": None, "disabled": False, "metadata": {}}
        has_fields(answer, id=there.id, url=NOWHERE + "/2", event_types=None, channels=None, **nothing)
        equal(endpoint.get(APP, "whole"), answer, "what is read")
        equal(endpoint.get_secret(APP, "whole").key, before, "the secret")
    with run.check("endpoint.upsert", "makes what is not there"):
        answer = endpoint.upsert(APP, "upserted", EndpointUpsertIn(url=NOWHERE, uid="upserted"))
        equal(endpoint.get(APP, "upserted"), answer, "what is read")
    with run.check("endpoint.patch", "changes what is named and keeps the rest"):
        fields = {
            "description": "patched",
            "throttle_rate": 9,
            "uid": "patched",
            "url": NOWHERE + "/3",
            "disabled": True,
            "event_types": ["job.failed"],
            "channels": ["eu"],
            "metadata": {"team": "red"},
        }
        so_far = {}
        for name, value in fields.items():
            answer = endpoint.patch(APP, answer.id, EndpointPatch(**{name: value}))
            so_far[name] = value
            has_fields(answer, **so_far)
        equal(endpoint.get(APP, "patched"), answer, "what is read")
    with run.check("endpoint.patch", "null clears what may be empty"):
        for name in ["throttle_rate", "event_types", "channels", "uid"]:
            answer = endpoint.patch(APP, answer.id, EndpointPatch(**{name: None}))
            equal(getattr(answer, name), None, name)
        has_fields(answer, description="patched", url=NOWHERE + "/3", disabled=True)
    with run.check("endpoint.patch", "null is refused for what may not be empty"):
        for name in ["url", "disabled", "metadata"]:
            with refused(422):
                endpoint.patch(APP, answer.id, EndpointPatch(**{name: None}))
    with run.check("endpoint.delete", "it is gone, and its uid is free"):
        endpoint.patch(APP, answer.id, EndpointPatch(uid="patched"))
        endpoint.delete(APP, "patched")
        for name in ["patched", answer.id]:
            with refused(404, "not_found"):
                endpoint.get(APP, name)
        with refused(404, "not_found"):
            endpoint.delete(APP, "patched")
        again = endpoint.create(APP, EndpointIn(url=NOWHERE, uid="patched"))
        true(again.id != answer.id, "another id")
        endpoint.delete(APP, again.id)


def listed(run, svix):
    app = svix.application.create(ApplicationIn(name="Many endpoints", uid="many-endpoints"))
    for number in range(7):
        svix.endpoint.create(app.id, EndpointIn(url=NOWHERE, uid=f"e{number}"))

    def fetch(order=None):
        return lambda limit, iterator: svix.endpoint.list(
            "many-endpoints", EndpointListOptions(limit=limit, iterator=iterator, order=order)
        )

    with run.check("endpoint.list", "is walked newest first to its end and back"):
        rows = walked(fetch(), 3)
        equal(len(rows), 7, "rows")
        equal(rows, sorted(rows, key=lambda row: row.id, reverse=True), "the order")
        equal(rows, walked(fetch(), 7), "the same when a page is just full")
    with run.check("endpoint.list", "is walked oldest first when asked"):
        rows = [key_of(row) for row in walked(fetch(Ordering.ASCENDING), 2)]
        equal(rows, sorted(rows), "the order")
    with run.check("endpoint.list", "of an application without any is empty"):
        svix.application.create(ApplicationIn(name="None", uid="no-endpoints"))
        answer = svix.endpoint.list("no-endpoints")
        equal((answer.data, answer.iterator, answer.done), ([], None, True), "the list")
        with refused(404, "not_found"):
            svix.endpoint.list("nobody")


def headers(run, svix, receiver):
    endpoint = svix.endpoint
    endpoint.create(APP, EndpointIn(url=receiver.url("headers"), uid="headers"))
    with run.check("endpoint.set_headers", "are kept, and sensitive values are not shown"):
        given = {"X-Team": "blue", "Authorization": "Bearer hidden", "X-Second": "2"}
        endpoint.set_headers(APP, "headers", EndpointHeadersIn(headers=given))
        answer = endpoint.get_headers(APP, "headers")
        shown = {name.lower(): value for name, value in answer.headers.items()}
        equal(shown, {"x-team": "blue", "x-second": "2"}, "headers")
        equal([name.lower() for name in answer.sensitive], ["authorization"], "sensitive")
    with run.check("endpoint.set_headers", "go out with every request"):
        svix.message.create(APP, MessageIn(event_type="job.created", payload={}))
        arrived = receiver.arrived("headers", 1)[0]
        for name, value in given.items():
            equal(arrived.headers.get(name.lower()), value, name)
        equal(arrived.headers["content-type"], "application/json", "content-type")
    with run.check("endpoint.patch_headers", "adds, changes, and removes what is named"):
        change = EndpointHeadersPatchIn(headers={"X-Team": "red", "X-Third": "3"})
        endpoint.patch_headers(APP, "headers", change)
        shown = endpoint.get_headers(APP, "headers").headers
        lower = {name.lower(): value for name, value in shown.items()}
        equal(lower, {"x-team": "red", "x-second": "2", "x-third": "3"}, "headers")
        change = EndpointHeadersPatchIn(headers={}, delete_headers=["X-Second", "X-Third"])
        endpoint.patch_headers(APP, "headers", change)
        shown = endpoint.get_headers(APP, "headers")
        equal({name.lower() for name in shown.headers}, {"x-team"}, "headers")
        equal([name.lower() for name in shown.sensitive], ["authorization"], "sensitive")
    with run.check("endpoint.set_headers", "replaces all of them"):
        endpoint.set_headers(APP, "headers", EndpointHeadersIn(headers={"X-Only": "1"}))
        answer = endpoint.get_headers(APP, "headers")
        equal({name.lower() for name in answer.headers}, {"x-only"}, "headers")
        equal(answer.sensitive, [], "sensitive")
    for name in ["User-Agent", "content-type", "svix-id", "X-Svix-Own", "webhook-id", "bad name"]:
        with run.check("endpoint.set_headers", f"{name} is refused"):
            with refused(422):
                endpoint.set_headers(APP, "headers", EndpointHeadersIn(headers={name: "mine"}))
            with refused(422):
                change = EndpointHeadersPatchIn(headers={name: "mine"})
                endpoint.patch_headers(APP, "headers", change)
    endpoint.delete(APP, "headers")


def filters(run, svix, receiver):
    wants = {
        "all": {},
        "exact": {"event_types": ["job.completed"]},
        "prefix": {"event_types": ["job.*"]},
        "channel": {"channels": ["eu", "us"]},
        "both": {"event_types": ["job.completed"], "channels": ["eu"]},
        "off": {"disabled": True},
    }
    for name, options in wants.items():
        svix.endpoint.create(
            APP, EndpointIn(url=receiver.url(f"f-{name}"), uid=f"f-{name}", **options)
        )
    sent = [
        ("job.completed", ["eu"], {"all", "exact", "prefix", "channel", "both"}),
        ("job.completed", ["asia"], {"all", "exact", "prefix"}),
        ("job.completed", None, {"all", "exact", "prefix"}),
        ("job.created", ["us", "asia"], {"all", "prefix", "channel"}),
        ("document.ready", None, {"all"}),
    ]
    with run.check("webhook", "an endpoint gets what its event types and channels say, and no more"):
        expected = {name: [] for name in wants}
        for event_type, channels, by in sent:
            message = MessageIn(event_type=event_type, payload={}, channels=channels)
            id = svix.message.create(APP, message).id
            for name in by:
                expected[name].append(id)
        for name, ids in expected.items():
            come = [one.id for one in receiver.arrived(f"f-{name}", len(ids))]
            equal(sorted(come), sorted(ids), f"what came to {name}")
    with run.check("endpoint.patch", "what is enabled again gets what comes from then on"):
        svix.endpoint.patch(APP, "f-off", EndpointPatch(disabled=False))
        id = svix.message.create(APP, MessageIn(event_type="job.created", payload={})).id
        receiver.arrived("f-off", 1, id=id)
    for name in wants:
        svix.endpoint.delete(APP, f"f-{name}")


def secrets(run, svix, receiver):
    def delivered():
        options = MessageCreateOptions(with_content=False)
        message = MessageIn(event_type="job.completed", payload={"größe": [1.5, "☃"], "n": None})
        id = svix.message.create(APP, message, options).id
        return receiver.arrived("secret", 1, id=id)[-1]

    def signatures(arrived):
        return arrived.headers["webhook-signature"].split(" ")

    endpoint = svix.endpoint
    endpoint.create(APP, EndpointIn(url=receiver.url("secret"), uid="secret", secret=SECRET))
    with run.check("webhook", "is verified by the SDK"):
        arrived = delivered().verified(SECRET)
        equal(len(signatures(arrived)), 1, "signatures")
        equal(arrived.json(), {"größe": [1.5, "☃"], "n": None}, "the payload")
    with run.check("webhook", "svix-* headers are there when configured, and say the same"):
        for name in ["id", "timestamp", "signature"]:
            same = arrived.headers[f"webhook-{name}"]
            equal(arrived.headers.get(f"svix-{name}"), same, f"svix-{name}")
        only = {name: value for name, value in arrived.headers.items() if "webhook-" not in name}
        Webhook(SECRET).verify(arrived.body, only)
    with run.check("endpoint.rotate_secret", "answers the new secret, as SDKs from 2.0 on want"):
        answer = endpoint.rotate_secret(
            APP, "secret", EndpointSecretRotateIn(key=OTHER_SECRET, grace_period_seconds=3_600)
        )
        equal(answer.key, OTHER_SECRET, "key")
    with run.check("endpoint.rotate_secret", "the old and the new one verify while both hold"):
        equal(endpoint.get_secret(APP, "secret").key, OTHER_SECRET, "the secret")
        arrived = delivered().verified(SECRET, OTHER_SECRET)
        equal(len(signatures(arrived)), 2, "signatures")
    with run.check("endpoint.rotate_secret", "without grace only the new one holds"):
        with_svix_2 = EndpointSecretRotateIn(grace_period_seconds=0)
        try:
            endpoint.rotate_secret(APP, "secret", with_svix_2)
        except ValueError:
            pass  # no JSON: said above
        newest = endpoint.get_secret(APP, "secret").key
        true(newest not in (SECRET, OTHER_SECRET), "one that was made")
        arrived = delivered().verified(newest)
        for gone in [OTHER_SECRET]:
            try:
                arrived.verified(gone)
            except Exception:
                continue
            raise AssertionError("the one without grace verifies still")
    with run.check("endpoint.rotate_secret", "a wrong key or grace is told"):
        with refused(422):
            endpoint.rotate_secret(APP, "secret", EndpointSecretRotateIn(key="whsec_c2hvcnQ="))
        with refused(422):
            wrong = EndpointSecretRotateIn(grace_period_seconds=604_801)
            endpoint.rotate_secret(APP, "secret", wrong)
        with refused(404, "not_found"):
            endpoint.rotate_secret(APP, "nobody", EndpointSecretRotateIn())
    endpoint.delete(APP, "secret")


def examples(run, svix, receiver):
    endpoint = svix.endpoint
    endpoint.create(APP, EndpointIn(url=receiver.url("example"), uid="example"))
    secret = endpoint.get_secret(APP, "example").key
    with run.check("endpoint.send_example", "sends the example of the schema to this endpoint alone"):
        id = endpoint.send_example(APP, "example", EventExampleIn(event_type="job.completed")).id
        arrived = receiver.arrived("example", 1, id=id)[0].verified(secret)
        equal(arrived.json(), {"n": 17}, "the example")
    with run.check("endpoint.send_example", "svix.ping needs no schema"):
        id = endpoint.send_example(APP, "example", EventExampleIn(event_type="svix.ping")).id
        equal(receiver.arrived("example", 1, id=id)[0].json(), {"success": True}, "the ping")
    with run.check("endpoint.send_example", "a type without an example is told"):
        with refused(400, "invalid_scheme"):
            endpoint.send_example(APP, "example", EventExampleIn(event_type="job.created"))
    endpoint.delete(APP, "example")
