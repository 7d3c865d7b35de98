"""Messages: made once, found in every way, forgotten when asked."""

from datetime import datetime, timedelta, timezone

from svix.api import (
    MessageCreateOptions,
    MessageGetOptions,
    MessageListOptions,
)
from svix.api.message import message_in_raw
from svix.models import ApplicationIn, EndpointIn, MessageIn

from frame import NOBODY, equal, has_fields, moment, refused, true, walked

APP = "messages"
WHOLE = MessageCreateOptions(with_content=True)


def check(run, svix, receiver):
    svix.application.create(ApplicationIn(name="Messages", uid=APP))
    svix.endpoint.create(APP, EndpointIn(url=receiver.url("messages"), uid="all"))
    made(run, svix, receiver)
    repeated(run, svix, receiver)
    refusals(run, svix.message)
    listed(run, svix)
    expunged(run, svix)


def made(run, svix, receiver):
    message = svix.message
    payload = {"n": 1.5, "text": "größe ☃", "deep": {"list": [None, True, {}]}}
    with run.check("message.create", "with every option, and all of it comes back"):
        whole = MessageIn(
            event_type="job.completed",
            payload=payload,
            event_id="run-1",
            channels=["eu", "us"],
            payload_retention_period=30,
            tags=["kept by nobody"],
        )
        answer = message.create(APP, whole, WHOLE)
        has_fields(answer, event_type="job.completed", payload=payload, event_id="run-1")
        equal(sorted(answer.channels), ["eu", "us"], "channels")
        true(answer.id.startswith("msg_") and len(answer.id) == 31, f"an id: {answer.id}")
        age = datetime.now(timezone.utc) - answer.timestamp
        true(timedelta(seconds=-1) < age < timedelta(minutes=1), f"made now: {age}")
        equal(receiver.arrived("messages", 1, id=answer.id)[0].json(), payload, "what came")
    with run.check("message.get", "at once, by id and by event id, with its payload when asked"):
        with_content = MessageGetOptions(with_content=True)
        equal(message.get(APP, answer.id, with_content), answer, "by id")
        equal(message.get(APP, "run-1", with_content), answer, "by event id")
        equal(message.get(APP, answer.id).payload, {}, "the payload when not asked")
    with run.check("message.create", "without its content when not asked"):
        answer = message.create(APP, MessageIn(event_type="job.created", payload={"n": 2}))
        has_fields(answer, payload={}, event_id=None)
    with run.check("message.create", "a raw payload goes out as it was written"):
        raw = '{ "n" :  1.50, "n2":1e3 }'
        id = message.create(APP, message_in_raw("job.created", raw)).id
        equal(receiver.arrived("messages", 1, id=id)[0].body.decode(), raw, "what came")
    with run.check("message.create", "makes its application when there is none"):
        made_here = MessageIn(
            event_type="job.created",
            payload={},
            application=ApplicationIn(name="Made with a message", uid="with-a-message"),
        )
        message.create("with-a-message", made_here)
        equal(svix.application.get("with-a-message").name, "Made with a message", "its name")
        message.create("with-a-message", made_here)
    with run.check("message.create", "an application in it has to be the one of the path"):
        other = ApplicationIn(name="Other", uid="other-uid")
        with refused(422):
            wrong = MessageIn(event_type="job.created", payload={}, application=other)
            message.create("not-there-yet", wrong)
    with run.check("message.get", "what is not there is not found"):
        for app, name in [(APP, f"msg_{NOBODY}"), (APP, "nobody"), ("nobody", "run-1")]:
            with refused(404, "not_found"):
                message.get(app, name)


def repeated(run, svix, receiver):
    message = svix.message
    with run.check("message.create", "with the same idempotency key is one message, answered alike"):
        options = MessageCreateOptions(with_content=True, idempotency_key="contract-message-1")
        body = MessageIn(event_type="job.completed", payload={"once": True}, event_id="once")
        first = message.create(APP, body, options)
        equal(message.create(APP, body, options), first, "the second answer")
    with run.check("message.create", "an event id that is taken is a conflict"):
        with refused(409, "conflict"):
            message.create(APP, body)
    with run.check("webhook", "what was published twice came once"):
        last = message.create(APP, MessageIn(event_type="job.created", payload={})).id
        receiver.arrived("messages", 1, id=last)
        equal(len(receiver.arrived("messages", 1, id=first.id)), 1, "requests")


def refusals(run, message):
    fine = {"event_type": "job.created", "payload": {}}
    for field, wrong in [
        ("eventType", {"event_type": "job created"}),
        ("eventType", {"event_type": ""}),
        ("eventId", {"event_id": "has space"}),
        ("channels", {"channels": [f"c{n}" for n in range(6)]}),
        ("channels", {"channels": []}),
        ("payloadRetentionPeriod", {"payload_retention_period": 4}),
        ("payloadRetentionPeriod", {"payload_retention_period": 91}),
    ]:
        with run.check("message.create", f"a wrong {field} is told: {str(wrong)[:48]}"):
            with refused(422, loc=["body", field]):
                message.create(APP, MessageIn(**{**fine, **wrong}))
    with run.check("message.create", "a payload that is too large is told"):
        with refused(413, "payload_too_large"):
            large = {"event_type": "job.created", "payload": {"x": "y" * 2_000_000}}
            message.create(APP, MessageIn(**large))
    with run.check("message.create", "for nobody is not found"):
        with refused(404, "not_found"):
            message.create("nobody", MessageIn(**fine))


def listed(run, svix):
    app = "message-list"
    svix.application.create(ApplicationIn(name="Lists", uid=app))
    message = svix.message
    moments = []
    for number in range(9):
        if number in (1, 4, 8):
            moments.append(moment())
        message.create(
            app,
            MessageIn(
                event_type=["job.created", "job.completed", "job.failed"][number % 3],
                payload={"n": number},
                channels=[["eu"], ["us", "eu"], None][number % 3],
            ),
        )

    def fetch(**more):
        return lambda limit, iterator: message.list(
            app, MessageListOptions(limit=limit, iterator=iterator, **more)
        )

    with run.check("message.list", "is walked newest first to its end and back"):
        rows = walked(fetch(with_content=True), 2)
        equal(sorted(row.payload["n"] for row in rows), list(range(9)), "all of them")
        times = [row.timestamp for row in rows]
        equal(times, sorted(times, reverse=True), "the order")
        equal(rows, walked(fetch(with_content=True), 3), "the same when the last page is full")
    with run.check("message.list", "has payloads only when asked"):
        equal({str(row.payload) for row in message.list(app).data}, {"{}"}, "payloads")
    with run.check("message.list", "by event types"):
        wanted = ["job.created", "job.failed"]
        found = walked(fetch(event_types=wanted), 2)
        equal(found, [stripped(row) for row in rows if row.event_type in wanted], "rows")
        equal(len(found), 6, "how many")
        equal(message.list(app, MessageListOptions(event_types=["job.unheard"])).data, [], "none")
    with run.check("message.list", "by channel"):
        found = walked(fetch(channel="us"), 2)
        equal(found, [stripped(row) for row in rows if row.channels and "us" in row.channels], "us")
        equal(len(walked(fetch(channel="eu"), 4)), 6, "eu")
    with run.check("message.list", "before and after a moment"):
        [first, middle, last] = moments

        def numbers(rows):
            return [row.payload["n"] for row in rows]

        def listed_by(**options):
            return message.list(app, MessageListOptions(with_content=True, **options)).data

        found = walked(fetch(before=middle, with_content=True), 3)
        equal(numbers(found), [3, 2, 1, 0], "before")
        equal(numbers(listed_by(after=middle)), [8, 7, 6, 5, 4], "after")
        equal(numbers(listed_by(after=first, before=last)), [7, 6, 5, 4, 3, 2, 1], "between")
        equal(numbers(listed_by(after=middle, limit=2)), [5, 4], "the page nearest to `after`")
        year = timedelta(days=365)
        equal(message.list(app, MessageListOptions(before=middle - year)).data, [], "a year ago")
    with run.check("message.list", "options that are not known here do no harm"):
        equal(len(message.list(app, MessageListOptions(tag="any")).data), 9, "rows")
    with run.check("message.list", "a limit or an iterator that cannot be is told"):
        with refused(422, loc=["query", "limit"]):
            message.list(app, MessageListOptions(limit=251))
        with refused(422, loc=["query", "iterator"]):
            message.list(app, MessageListOptions(iterator="nonsense"))
        with refused(404, "not_found"):
            message.list("nobody")


def stripped(row):
    return row.model_copy(update={"payload": {}})


def expunged(run, svix):
    message = svix.message
    with run.check("message.expunge_content", "the payload is gone, and the message says so"):
        made_here = MessageIn(event_type="job.created", payload={"secret": 1}, event_id="expunged")
        id = message.create(APP, made_here).id
        message.expunge_content(APP, "expunged")
        with_content = MessageGetOptions(with_content=True)
        equal(message.get(APP, id, with_content).payload, {"expired": True}, "the payload")
        message.expunge_content(APP, id)
    with run.check("message_attempt.resend", "what has no payload any more is not sent"):
        with refused(400, "missing_payload"):
            svix.message_attempt.resend(APP, id, "all")
    with run.check("message.expunge_content", "of nobody is not found"):
        with refused(404, "not_found"):
            message.expunge_content(APP, f"msg_{NOBODY}")
