"""What became of messages: attempts, deliveries, and sending again.

The application `contract` is made before the router starts, with two endpoints whose retries the API
of others knows no words for: `gives-up` is tried once, `retries` is tried again after an hour.
"""

from datetime import datetime, timedelta, timezone

from svix.api import (
    EndpointGetStatsOptions,
    MessageAttemptListAttemptedDestinationsOptions,
    MessageAttemptListAttemptedMessagesOptions,
    MessageAttemptListByEndpointOptions,
    MessageAttemptListByMsgOptions,
)
from svix.models import (
    BackgroundTaskStatus,
    BackgroundTaskType,
    EndpointIn,
    MessageAttemptTriggerType,
    MessageIn,
    MessageStatus,
    MessageStatusText,
    RecoverIn,
    ReplayIn,
    StatusCodeClass,
)

from frame import NOBODY, equal, eventually, has_fields, moment, refused, true, walked

APP = "contract"
COUNT = 7


def check(run, svix, receiver):
    receiver.answers("gives-up", 500)
    receiver.answers("retries", 500)  # a 502 or 503 would slow the whole endpoint
    began = datetime.now(timezone.utc)
    svix.endpoint.create(APP, EndpointIn(url=receiver.url("accepts"), uid="accepts"))
    ids = []
    for number in range(COUNT):
        if number == 3:
            middle = moment()
        message = MessageIn(
            event_type=["job.completed", "job.failed"][number % 2],
            payload={"n": number},
            channels=[["eu"], ["us"], None][number % 3],
            event_id=f"run-{number}",
        )
        ids.append(svix.message.create(APP, message).id)
    ids.reverse()
    attempt = svix.message_attempt
    for name in ["accepts", "gives-up", "retries"]:
        receiver.arrived(name, COUNT)
        eventually(
            f"all attempts at {name} are recorded",
            lambda: len(attempt.list_by_endpoint(APP, name).data) == COUNT,
        )
    by_endpoint(run, svix, receiver, ids)
    filtered(run, attempt)
    by_message(run, svix, ids)
    attempted_messages(run, svix, ids, middle)
    destinations(run, svix, ids)
    one(run, svix, ids)
    stats(run, svix, began)
    resend(run, svix, receiver, ids)
    recover(run, svix, receiver, ids, began)
    replay_missing(run, svix, receiver, ids, began)


def with_content(**more):
    return MessageAttemptListByEndpointOptions(with_content=True, **more)


def by_endpoint(run, svix, receiver, ids):
    attempt = svix.message_attempt
    with run.check("message_attempt.list_by_endpoint", "has everything about each attempt"):
        rows = attempt.list_by_endpoint(APP, "accepts", with_content()).data
        equal(sorted(row.msg_id for row in rows), sorted(ids), "messages")
        endpoint = svix.endpoint.get(APP, "accepts")
        for row in rows:
            has_fields(
                row,
                url=receiver.url("accepts"),
                response="answer of accepts",
                response_status_code=200,
                status=MessageStatus.SUCCESS,
                status_text=MessageStatusText.SUCCESS,
                trigger_type=MessageAttemptTriggerType.SCHEDULED,
                endpoint_id=endpoint.id,
                msg=None,
            )
            true(row.id.startswith("atmpt_") and len(row.id) == 33, f"an id: {row.id}")
            true(0 <= row.response_duration_ms < 60_000, f"took {row.response_duration_ms} ms")
        refusal = attempt.list_by_endpoint(APP, "gives-up", with_content()).data[0]
        has_fields(refusal, status=MessageStatus.FAIL, status_text=MessageStatusText.FAIL)
        has_fields(refusal, response_status_code=500, response="answer of gives-up")
    with run.check("message_attempt.list_by_endpoint", "without content when not asked"):
        rows = attempt.list_by_endpoint(APP, "accepts").data
        equal({row.response for row in rows}, {"{}"}, "responses")
    with run.check("message_attempt.list_by_endpoint", "with the messages when asked"):
        asked = MessageAttemptListByEndpointOptions(with_msg=True)
        for row in attempt.list_by_endpoint(APP, "accepts", asked).data:
            equal(row.msg.id, row.msg_id, "msg")
            true(row.msg.event_id.startswith("run-"), "its event id")
    with run.check("message_attempt.list_by_endpoint", "is walked newest first and back"):
        for limit in [1, 2, COUNT]:
            rows = walked(
                lambda limit, iterator: attempt.list_by_endpoint(
                    APP, "gives-up", with_content(limit=limit, iterator=iterator)
                ),
                limit,
            )
            equal(len(rows), COUNT, "rows")
            # By id, which grows with time to four milliseconds.
            equal(rows, sorted(rows, key=lambda row: row.id, reverse=True), "the order")
    with run.check("message_attempt.list_by_endpoint", "of nobody is not found"):
        for app, name in [(APP, "nobody"), (APP, f"ep_{NOBODY}"), ("nobody", "accepts")]:
            with refused(404, "not_found"):
                attempt.list_by_endpoint(app, name)


def filtered(run, attempt):
    def listed(name, **options):
        return attempt.list_by_endpoint(APP, name, MessageAttemptListByEndpointOptions(**options)).data

    def count(name, expected, **options):
        equal(len(listed(name, **options)), expected, f"attempts at {name} with {options}")

    with run.check("message_attempt.list_by_endpoint", "by status"):
        count("accepts", COUNT, status=MessageStatus.SUCCESS)
        count("accepts", 0, status=MessageStatus.FAIL)
        count("gives-up", COUNT, status=MessageStatus.FAIL)
        count("gives-up", 0, status=MessageStatus.SUCCESS)
        count("gives-up", 0, status=MessageStatus.PENDING)
    with run.check("message_attempt.list_by_endpoint", "by the class of the answer's code"):
        count("accepts", COUNT, status_code_class=StatusCodeClass.CODE2XX)
        count("accepts", 0, status_code_class=StatusCodeClass.CODE5XX)
        count("gives-up", COUNT, status_code_class=StatusCodeClass.CODE5XX)
        count("gives-up", 0, status_code_class=StatusCodeClass.CODE_NONE)
        count("gives-up", 0, status_code_class=StatusCodeClass.CODE4XX)
    with run.check("message_attempt.list_by_endpoint", "by channel"):
        count("accepts", 3, channel="eu")
        count("accepts", 2, channel="us")
        count("accepts", 0, channel="asia")
    with run.check("message_attempt.list_by_endpoint", "by event types"):
        count("accepts", 4, event_types=["job.completed"])
        count("accepts", COUNT, event_types=["job.completed", "job.failed"])
        count("accepts", 0, event_types=["job.unheard"])
    with run.check("message_attempt.list_by_endpoint", "before and after a moment"):
        rows = listed("accepts")
        middle = rows[3].timestamp
        for name, holds in [("before", lambda t: t < middle), ("after", lambda t: t > middle)]:
            found = [row.id for row in listed("accepts", **{name: middle})]
            equal(found, [row.id for row in rows if holds(row.timestamp)], name)
        oldest = rows[-1].timestamp
        found = [row.id for row in listed("accepts", after=oldest, limit=2)]
        equal(found, [row.id for row in rows if row.timestamp > oldest][-2:], "nearest to `after`")
    with run.check("message_attempt.list_by_endpoint", "by all of them together"):
        options = {"status": MessageStatus.FAIL, "status_code_class": StatusCodeClass.CODE5XX}
        count("gives-up", 2, channel="eu", event_types=["job.completed"], **options)
    with run.check("message_attempt.list_by_endpoint", "what cannot be is told"):
        with refused(422, loc=["query", "limit"]):
            listed("accepts", limit=251)
        with refused(422, loc=["query", "iterator"]):
            listed("accepts", iterator="nonsense")


def by_message(run, svix, ids):
    attempt = svix.message_attempt

    def listed(name, **options):
        return attempt.list_by_msg(APP, name, MessageAttemptListByMsgOptions(**options)).data

    with run.check("message_attempt.list_by_msg", "has the attempts at all endpoints"):
        rows = listed(ids[0])
        names = ["accepts", "gives-up", "retries"]
        expected = {svix.endpoint.get(APP, name).id for name in names}
        equal({row.endpoint_id for row in rows}, expected, "endpoints")
        equal({row.msg_id for row in rows}, {ids[0]}, "messages")
        equal(listed(f"run-{COUNT - 1}"), rows, "the same by event id")
    with run.check("message_attempt.list_by_msg", "by endpoint, id or uid"):
        by_uid = listed(ids[0], endpoint_id="accepts")
        equal([row.status for row in by_uid], [MessageStatus.SUCCESS], "statuses")
        equal(listed(ids[0], endpoint_id=by_uid[0].endpoint_id), by_uid, "the same by id")
        with refused(404, "not_found"):
            listed(ids[0], endpoint_id="nobody")
    with run.check("message_attempt.list_by_msg", "by status, class, channel, type and time"):
        equal(len(listed(ids[0], status=MessageStatus.FAIL)), 2, "failures")
        equal(len(listed(ids[0], status_code_class=StatusCodeClass.CODE2XX)), 1, "successes")
        equal(len(listed(ids[0], channel="eu")), 3, "of its channel")
        equal(len(listed(ids[0], channel="us")), 0, "of another")
        equal(len(listed(ids[0], event_types=["job.completed"])), 3, "of its type")
        equal(len(listed(ids[0], event_types=["job.failed"])), 0, "of another")
        hour = timedelta(hours=1)
        equal(len(listed(ids[0], after=rows[0].timestamp - hour)), 3, "since an hour ago")
        equal(len(listed(ids[0], before=rows[0].timestamp - hour)), 0, "until an hour ago")
    with run.check("message_attempt.list_by_msg", "is walked newest first and back"):
        again = walked(
            lambda limit, iterator: attempt.list_by_msg(
                APP, ids[0], MessageAttemptListByMsgOptions(limit=limit, iterator=iterator)
            ),
            1,
        )
        equal(again, rows, "rows")
    with run.check("message_attempt.list_by_msg", "with content when asked"):
        answers = {row.response for row in listed(ids[0], with_content=True)}
        equal(answers, {f"answer of {name}" for name in names}, "responses")
        equal({row.response for row in rows}, {"{}"}, "responses when not asked")
    with run.check("message_attempt.list_by_msg", "of nobody is not found"):
        with refused(404, "not_found"):
            listed(f"msg_{NOBODY}")


def attempted_messages(run, svix, ids, middle):
    attempt = svix.message_attempt
    operation = "message_attempt.list_attempted_messages"

    def listed(name, **options):
        options = MessageAttemptListAttemptedMessagesOptions(**options)
        return attempt.list_attempted_messages(APP, name, options).data

    with run.check(operation, "has each message with how it stands"):
        for name, status, text in [
            ("accepts", MessageStatus.SUCCESS, MessageStatusText.SUCCESS),
            ("gives-up", MessageStatus.FAIL, MessageStatusText.FAIL),
            ("retries", MessageStatus.SENDING, MessageStatusText.SENDING),
        ]:
            rows = listed(name)
            equal([row.id for row in rows], ids, f"messages to {name}")
            for row in rows:
                has_fields(row, status=status, status_text=text, payload={})
            waits = {row.next_attempt is not None for row in rows}
            equal(waits, {name == "retries"}, f"whether there is a next attempt at {name}")
        true(rows[0].next_attempt > datetime.now(timezone.utc), "the next attempt is to come")
    with run.check(operation, "by status"):
        for name, own in [("accepts", 0), ("gives-up", 2), ("retries", 3)]:
            for status in [MessageStatus.SUCCESS, MessageStatus.FAIL, MessageStatus.SENDING]:
                expected = COUNT if status == own else 0
                equal(len(listed(name, status=status)), expected, f"{name} with {status.name}")
            equal(listed(name, status=MessageStatus.PENDING), [], "pending")
    with run.check(operation, "by channel, event types and time, with content when asked"):
        equal(len(listed("accepts", channel="eu")), 3, "of a channel")
        equal(len(listed("accepts", event_types=["job.failed"])), 3, "of a type")
        rows = listed("accepts", with_content=True)
        equal([row.payload["n"] for row in rows], list(range(COUNT))[::-1], "payloads")
        equal([row.id for row in listed("accepts", before=middle)], ids[-3:], "before")
        equal([row.id for row in listed("accepts", after=middle)], ids[:-3], "after")
    with run.check(operation, "is walked newest first and back"):
        for limit in [2, COUNT]:
            rows = walked(
                lambda limit, iterator: attempt.list_attempted_messages(
                    APP,
                    "gives-up",
                    MessageAttemptListAttemptedMessagesOptions(limit=limit, iterator=iterator),
                ),
                limit,
            )
            equal([row.id for row in rows], ids, "rows")


def destinations(run, svix, ids):
    attempt = svix.message_attempt
    operation = "message_attempt.list_attempted_destinations"
    svix.endpoint.create(
        APP, EndpointIn(url="http://127.0.0.1:1024/gone", uid="gone", event_types=["document.ready"])
    )
    id = svix.message.create(APP, MessageIn(event_type="document.ready", payload={})).id
    eventually(
        "every endpoint was tried",
        lambda: len(attempt.list_by_msg(APP, id).data) == 4,
    )
    with run.check(operation, "has each endpoint with how its delivery stands"):
        wanted = {"accepts": MessageStatus.SUCCESS, "gives-up": MessageStatus.FAIL}
        wanted |= {"retries": MessageStatus.SENDING}
        rows = attempt.list_attempted_destinations(APP, ids[0]).data
        equal({row.uid: row.status for row in rows}, wanted, "statuses")
        equal([row.id for row in rows], sorted(row.id for row in rows), "the order")
        equal({row.uid for row in rows if row.next_attempt}, {"retries"}, "who is tried again")
        true(all(row.url.startswith("http://127.0.0.1") for row in rows), "URLs")
    with run.check(operation, "is walked by endpoint and back"):
        again = walked(
            lambda limit, iterator: attempt.list_attempted_destinations(
                APP,
                ids[0],
                MessageAttemptListAttemptedDestinationsOptions(limit=limit, iterator=iterator),
            ),
            2,
        )
        equal(again, rows, "rows")
    with run.check(operation, "has an endpoint that is deleted, whose delivery is no longer on its way"):
        gone = svix.endpoint.get(APP, "gone")
        svix.endpoint.delete(APP, "gone")
        rows = {row.id: row for row in attempt.list_attempted_destinations(APP, id).data}
        true(gone.id in rows, "the deleted one")
        status = rows[gone.id].status
        true(status in (MessageStatus.FAIL, MessageStatus.CANCELED), f"it is {status!r}")
        equal(rows[gone.id].next_attempt, None, "its next attempt")


def one(run, svix, ids):
    attempt = svix.message_attempt
    with run.check("message_attempt.get", "is the one of the list, with its content"):
        row = attempt.list_by_endpoint(APP, "gives-up", with_content()).data[0]
        equal(attempt.get(APP, row.msg_id, row.id), row, "what is read")
    with run.check("message_attempt.get", "of another message or nobody is not found"):
        for msg, id in [(ids[-1], row.id), (row.msg_id, f"atmpt_{NOBODY}")]:
            with refused(404, "not_found"):
                attempt.get(APP, msg, id)
    with run.check("message_attempt.expunge_content", "what was answered is gone"):
        attempt.expunge_content(APP, row.msg_id, row.id)
        equal(attempt.get(APP, row.msg_id, row.id).response, "EXPUNGED", "the response")
        with refused(404, "not_found"):
            attempt.expunge_content(APP, row.msg_id, f"atmpt_{NOBODY}")


def stats(run, svix, began):
    get_stats = svix.endpoint.get_stats
    with run.check("endpoint.get_stats", "counts deliveries by how they stand"):
        has_fields(get_stats(APP, "gives-up"), fail=COUNT + 1, success=0, sending=0, pending=0)
        has_fields(get_stats(APP, "accepts"), success=COUNT + 1, fail=0, sending=0, canceled=0)
        has_fields(get_stats(APP, "retries"), sending=COUNT + 1, success=0, fail=0)
    with run.check("endpoint.get_stats", "within a time"):
        hour = timedelta(hours=1)
        now = datetime.now(timezone.utc)
        within = EndpointGetStatsOptions(since=began - hour, until=now)
        equal(get_stats(APP, "accepts", within).success, COUNT + 1, "since then")
        earlier = EndpointGetStatsOptions(since=began - 2 * hour, until=began - hour)
        equal(get_stats(APP, "accepts", earlier).success, 0, "before")
        for wrong in [{"until": now + hour}, {"since": now - timedelta(days=29), "until": now}]:
            with refused(400, "invalid_range"):
                get_stats(APP, "accepts", EndpointGetStatsOptions(**wrong))


def resend(run, svix, receiver, ids):
    attempt = svix.message_attempt
    with run.check("message_attempt.resend", "one that was given up goes out again, under its id"):
        receiver.answers("gives-up", 200)
        attempt.resend(APP, ids[0], "gives-up")
        receiver.arrived("gives-up", 2, id=ids[0])

        def newest():
            options = MessageAttemptListByMsgOptions(endpoint_id="gives-up")
            rows = attempt.list_by_msg(APP, ids[0], options).data
            return rows[0] if len(rows) == 2 else None

        row = eventually("the attempt is recorded", newest)
        has_fields(row, trigger_type=MessageAttemptTriggerType.MANUAL, status=MessageStatus.SUCCESS)
    with run.check("message_attempt.resend", "one that was delivered goes out again, too"):
        attempt.resend(APP, ids[0], "accepts")
        receiver.arrived("accepts", 2, id=ids[0])
    with run.check("message_attempt.resend", "one that fails does not end the automatic retries"):
        attempt.resend(APP, ids[0], "retries")
        receiver.arrived("retries", 2, id=ids[0])

        def both():
            options = MessageAttemptListByMsgOptions(endpoint_id="retries")
            return len(attempt.list_by_msg(APP, ids[0], options).data) == 2

        eventually("the attempt is recorded", both)
        rows = {row.uid: row for row in attempt.list_attempted_destinations(APP, ids[0]).data}
        has_fields(rows["retries"], status=MessageStatus.SENDING)
        true(rows["retries"].next_attempt is not None, "there is a next attempt")
    with run.check("message_attempt.resend", "of nobody is not found"):
        for msg, endpoint in [(f"msg_{NOBODY}", "accepts"), (ids[0], "nobody")]:
            with refused(404, "not_found"):
                attempt.resend(APP, msg, endpoint)


def recover(run, svix, receiver, ids, began):
    attempt = svix.message_attempt
    with run.check("endpoint.recover", "what failed since then goes out again, and nothing else"):
        task = svix.endpoint.recover(APP, "gives-up", RecoverIn(since=began))
        true(task.id.startswith("rpl_"), f"an id: {task.id}")
        equal(task.task, BackgroundTaskType.ENDPOINT_RECOVER, "task")

        def all_delivered():
            rows = attempt.list_attempted_messages(APP, "gives-up").data
            return {row.status for row in rows} == {MessageStatus.SUCCESS}

        eventually("everything is delivered", all_delivered)
        for id in ids:
            equal(len(receiver.arrived("gives-up", id=id)), 2, "requests for each")
    with run.check("background_task.get", "tells how it went"):

        def finished():
            now = svix.background_task.get(task.id)
            return now if now.status == BackgroundTaskStatus.FINISHED else None

        has_fields(eventually("the task is through", finished), id=task.id, task=task.task)
        with refused(404, "not_found"):
            svix.background_task.get(f"rpl_{NOBODY}")
    with run.check("endpoint.recover", "a moment too long ago is told"):
        long_ago = datetime.now(timezone.utc) - timedelta(days=15)
        with refused(422):
            svix.endpoint.recover(APP, "gives-up", RecoverIn(since=long_ago))
        with refused(404, "not_found"):
            svix.endpoint.recover(APP, "nobody", RecoverIn(since=began))


def replay_missing(run, svix, receiver, ids, began):
    with run.check("endpoint.replay_missing", "what was never sent to it goes out, by its filter"):
        late = EndpointIn(url=receiver.url("late"), uid="late", event_types=["job.completed"])
        svix.endpoint.create(APP, late)
        task = svix.endpoint.replay_missing(APP, "late", ReplayIn(since=began))
        true(task.id.startswith("rpl_"), f"an id: {task.id}")
        equal(task.task, BackgroundTaskType.ENDPOINT_REPLAY, "task")
        come = sorted(one.id for one in receiver.arrived("late", 4))
        equal(come, sorted(id for id in ids[::2]), "what came")
    with run.check("endpoint.replay_missing", "a second time there is nothing missing"):
        svix.endpoint.replay_missing(APP, "late", ReplayIn(since=began))
        last = svix.message.create(APP, MessageIn(event_type="job.completed", payload={})).id
        receiver.arrived("late", 1, id=last)
        equal(len(receiver.arrived("late")), 5, "requests")
