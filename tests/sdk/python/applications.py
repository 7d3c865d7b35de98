"""Applications, event types, and who may ask: what needs no delivery."""

from svix.api import (
    ApplicationCreateOptions,
    ApplicationListOptions,
    EventTypeDeleteOptions,
    EventTypeListOptions,
)
from svix.models import (
    ApplicationIn,
    ApplicationPatch,
    EventTypeIn,
    EventTypePatch,
    EventTypeUpsertIn,
    Ordering,
)

from frame import NOBODY, equal, has_fields, key_of, refused, true, walked

SCHEMA = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "type": "object",
    "properties": {"n": {"type": "integer"}},
    "required": ["n"],
    "examples": [{"n": 17}],
}


def check(run, svix):
    made(run, svix.application)
    changed(run, svix.application)
    listed(run, svix.application)
    event_types(run, svix.event_type)
    event_type_lists(run, svix.event_type)


def made(run, app):
    whole = ApplicationIn(name="Whole", uid="whole", throttle_rate=25, metadata={"plan": "blue"})
    with run.check("application.create", "with every option, and all of it comes back"):
        answer = app.create(whole)
        has_fields(answer, name="Whole", uid="whole", throttle_rate=25, metadata={"plan": "blue"})
        true(answer.id.startswith("app_") and len(answer.id) == 31, f"an id: {answer.id}")
        true(answer.created_at.tzinfo is not None, "times have their zone")
        equal(app.get(answer.id), answer, "what is read")
    with run.check("application.create", "with nothing but a name"):
        has_fields(app.create(ApplicationIn(name="Bare")), uid=None, throttle_rate=None, metadata={})
    with run.check("application.create", "a uid that is taken is a conflict"):
        with refused(409, "conflict"):
            app.create(whole)
    with run.check("application.create", "with the same idempotency key is done once"):
        options = ApplicationCreateOptions(idempotency_key="contract-app-1")
        first = app.create(ApplicationIn(name="Once"), options)
        equal(app.create(ApplicationIn(name="Once"), options), first, "the second answer")
    for field, wrong in [
        ("uid", {"uid": "has space"}),
        ("uid", {"uid": "app_of_mine"}),
        ("uid", {"uid": ""}),
        ("name", {"name": ""}),
        ("throttleRate", {"throttle_rate": 0}),
        ("metadata", {"metadata": {"long": "x" * 4_096}}),
    ]:
        with run.check("application.create", f"a wrong {field} is told: {str(wrong)[:40]}"):
            with refused(422, loc=["body", field]):
                app.create(ApplicationIn(**{"name": "Wrong", **wrong}))
    with run.check("application.create", "get_or_create gives the one that is there"):
        there = app.get_or_create(ApplicationIn(name="Another name", uid="whole"))
        equal(there, app.get("whole"), "what is given")
        equal(there.name, "Whole", "its name")
        new = app.get_or_create(ApplicationIn(name="New", uid="new"))
        equal(new.name, "New", "what was not there")
    with run.check("application.get", "by id and by uid is the same"):
        by_uid = app.get("whole")
        equal(app.get(by_uid.id), by_uid, "by id")
    with run.check("application.get", "what is not there is not found"):
        for name in ["nobody", f"app_{NOBODY}"]:
            with refused(404, "not_found"):
                app.get(name)


def changed(run, app):
    with run.check("application.upsert", "replaces everything"):
        answer = app.upsert("whole", ApplicationIn(name="Replaced", uid="whole"))
        has_fields(answer, name="Replaced", uid="whole", throttle_rate=None, metadata={})
        equal(app.get("whole"), answer, "what is read")
    with run.check("application.upsert", "makes what is not there"):
        answer = app.upsert("upserted", ApplicationIn(name="Upserted", uid="upserted"))
        equal(app.get("upserted"), answer, "what is read")
    with run.check("application.upsert", "another's uid is a conflict"):
        with refused(409, "conflict"):
            app.upsert("upserted", ApplicationIn(name="Thief", uid="whole"))
    with run.check("application.patch", "changes what is named and keeps the rest"):
        set_up = ApplicationIn(name="P", uid="p", throttle_rate=5, metadata={"a": "b"})
        made = app.create(set_up)
        answer = app.patch("p", ApplicationPatch(name="Patched"))
        has_fields(answer, name="Patched", uid="p", throttle_rate=5, metadata={"a": "b"})
        answer = app.patch("p", ApplicationPatch(throttle_rate=7, metadata={"c": "d"}))
        has_fields(answer, name="Patched", throttle_rate=7, metadata={"c": "d"})
        equal(answer.created_at, made.created_at, "when it was made")
        true(answer.updated_at >= made.updated_at, "when it was changed")
    with run.check("application.patch", "null clears what may be empty"):
        answer = app.patch("p", ApplicationPatch(throttle_rate=None))
        equal(answer.throttle_rate, None, "throttle_rate")
        answer = app.patch(answer.id, ApplicationPatch(uid=None))
        equal(answer.uid, None, "uid")
        with refused(404, "not_found"):
            app.get("p")
        equal(app.patch(answer.id, ApplicationPatch(uid="p")).uid, "p", "uid")
    with run.check("application.patch", "null is refused for what may not be empty"):
        with refused(422):
            app.patch("p", ApplicationPatch(name=None))
    with run.check("application.delete", "it is gone, and its uid is free"):
        before = app.get("p")
        app.delete("p")
        for name in ["p", before.id]:
            with refused(404, "not_found"):
                app.get(name)
        with refused(404, "not_found"):
            app.delete("p")
        again = app.create(ApplicationIn(name="P again", uid="p"))
        true(again.id != before.id, "another id")
        app.delete(again.id)


def listed(run, app):
    def fetch(order=None):
        return lambda limit, iterator: app.list(
            ApplicationListOptions(limit=limit, iterator=iterator, order=order)
        )

    with run.check("application.list", "is walked to its end and back, oldest first"):
        rows = walked(fetch(), 2)
        true(len(rows) >= 5, "all that were made")
        equal(rows, sorted(rows, key=lambda row: row.id), "the order")
        equal(rows, walked(fetch(), 3), "the same in threes")
        equal(rows, app.list().data, "the same at once")
    with run.check("application.list", "is walked newest first when asked"):
        rows = walked(fetch(Ordering.DESCENDING), 2)
        equal([key_of(row) for row in rows], [key_of(row) for row in app.list().data][::-1], "rows")
    with run.check("application.list", "options that are not known here do no harm"):
        options = ApplicationListOptions(exclude_apps_with_no_endpoints=False)
        equal(app.list(options).data, app.list().data, "rows")
    with run.check("application.list", "a limit or an iterator that cannot be is told"):
        for wrong in [{"limit": 251}, {"limit": 0}]:
            with refused(422, loc=["query", "limit"]):
                app.list(ApplicationListOptions(**wrong))
        with refused(422, loc=["query", "iterator"]):
            app.list(ApplicationListOptions(iterator="nonsense"))


def event_types(run, types):
    with run.check("event_type.create", "with schemas, and all of it comes back"):
        whole = EventTypeIn(
            name="job.completed", description="A job is done", deprecated=True, schemas={"1": SCHEMA}
        )
        answer = types.create(whole)
        expected = {"name": "job.completed", "description": "A job is done", "archived": False}
        has_fields(answer, deprecated=True, schemas={"1": SCHEMA}, **expected)
        equal(types.get("job.completed"), answer, "what is read")
    with run.check("event_type.create", "with nothing but name and description"):
        answer = types.create(EventTypeIn(name="job.failed", description="A job failed"))
        has_fields(answer, archived=False, deprecated=False, schemas=None)
    for name in ["job.created", "document.ready"]:
        with run.check("event_type.create", name):
            types.create(EventTypeIn(name=name, description=name))
    with run.check("event_type.create", "a name that is taken is a conflict"):
        with refused(409, "event_type_exists"):
            types.create(EventTypeIn(name="job.failed", description=""))
    with run.check("event_type.create", "a wrong name or schema is told"):
        with refused(422, loc=["body", "name"]):
            types.create(EventTypeIn(name="job failed", description=""))
        with refused(422):
            wrong = {"1": {"type": "no such type"}}
            types.create(EventTypeIn(name="job.wrong", description="", schemas=wrong))
        with refused(404, "not_found"):
            types.get("job.wrong")
    with run.check("event_type.create", "a feature flag is kept"):
        flagged = EventTypeIn(name="job.flagged", description="", feature_flags=["beta"])
        equal(types.create(flagged).feature_flags, ["beta"], "feature_flags")
    with run.check("event_type.upsert", "replaces everything but the name, or makes it"):
        answer = types.upsert("job.failed", EventTypeUpsertIn(description="Upserted", deprecated=True))
        has_fields(answer, description="Upserted", deprecated=True, archived=False, schemas=None)
        answer = types.upsert("job.upserted", EventTypeUpsertIn(description="New"))
        has_fields(answer, name="job.upserted", description="New", deprecated=False)
        answer = types.upsert("job.failed", EventTypeUpsertIn(description="Once more"))
        has_fields(answer, description="Once more", deprecated=False)
    with run.check("event_type.patch", "changes what is named and keeps the rest"):
        answer = types.patch("job.completed", EventTypePatch(description="Done"))
        has_fields(answer, description="Done", deprecated=True, schemas={"1": SCHEMA})
        answer = types.patch("job.completed", EventTypePatch(deprecated=False))
        has_fields(answer, description="Done", deprecated=False)
        answer = types.patch("job.failed", EventTypePatch(schemas={"1": SCHEMA}))
        equal(answer.schemas, {"1": SCHEMA}, "schemas")
        equal(types.patch("job.failed", EventTypePatch(schemas=None)).schemas, None, "schemas")
    with run.check("event_type.patch", "archives and brings back"):
        true(types.patch("job.upserted", EventTypePatch(archived=True)).archived, "archived")
        true(not types.patch("job.upserted", EventTypePatch(archived=False)).archived, "archived")
    with run.check("event_type.get", "what is not there is not found"):
        with refused(404, "not_found"):
            types.get("job.nobody")
        with refused(404, "not_found"):
            types.patch("job.nobody", EventTypePatch(description=""))
        with refused(404, "not_found"):
            types.delete("job.nobody")


def event_type_lists(run, types):
    def fetch(**more):
        return lambda limit, iterator: types.list(
            EventTypeListOptions(limit=limit, iterator=iterator, **more)
        )

    with run.check("event_type.list", "is walked by name to its end and back"):
        names = [row.name for row in walked(fetch(), 2)]
        true({"document.ready", "job.completed", "job.failed"} <= set(names), f"{names}")
        equal(names, sorted(names), "the order")
    with run.check("event_type.list", "has schemas only when asked"):
        equal({row.schemas is None for row in types.list().data}, {True}, "no schemas")
        whole = types.list(EventTypeListOptions(with_content=True)).data
        equal(next(row.schemas for row in whole if row.name == "job.completed"), {"1": SCHEMA})
    with run.check("event_type.delete", "archives; listed only when asked; made again, it is back"):
        types.delete("job.upserted")
        true("job.upserted" not in [row.name for row in walked(fetch(), 2)], "not listed")
        rows = walked(fetch(include_archived=True), 2)
        equal(next(row.archived for row in rows if row.name == "job.upserted"), True, "archived")
        true(types.get("job.upserted").archived, "it can still be read")
        back = types.create(EventTypeIn(name="job.upserted", description="Back"))
        has_fields(back, archived=False, description="Back")
    with run.check("event_type.delete", "expunges for good"):
        types.delete("job.upserted", EventTypeDeleteOptions(expunge=True))
        with refused(404, "not_found"):
            types.get("job.upserted")
