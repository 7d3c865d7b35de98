"""Who may ask what, portal access, health, and what is not offered."""

import inspect
import re

from svix.api import SvixAsync  # noqa: F401 (the import itself is part of what is checked)
from svix.api.common import ApiBaseSync
from svix.api.errors.http_error import HttpError
from svix.models import (
    AppPortalAccessIn,
    ApplicationIn,
    ApplicationPatch,
    ApplicationTokenExpireIn,
    EndpointIn,
    EventExampleIn,
    EventTypeIn,
    MessageIn,
)

from frame import NOBODY, equal, refused, true

APP = "contract"


def check(run, svix, token, application_token):
    strangers(run, token)
    narrow(run, svix, run.client(application_token))
    portal(run, svix)
    run_health(run, svix)
    not_offered(run, svix)


def strangers(run, token):
    body, signature = token.rsplit(".", 1)
    forged = f"{body}.{signature[::-1]}"
    for what, wrong in [("no JWT", "nonsense"), ("a forged one", forged)]:
        with run.check("errors", f"{what} is unauthenticated"):
            client = run.client(wrong)
            for ask in [
                lambda: client.application.list(),
                lambda: client.application.get("nobody"),
                lambda: client.endpoint.list(APP),
                lambda: client.message.create(APP, MessageIn(event_type="a", payload={})),
            ]:
                with refused(401, "authentication_failed"):
                    ask()


def narrow(run, svix, narrow):
    own = svix.application.get(APP)
    with run.check("errors", "an application's token reads and manages its own endpoints"):
        equal(narrow.application.get(APP), own, "the application")
        made = narrow.endpoint.create(APP, EndpointIn(url="http://127.0.0.1:1024/own", uid="own"))
        equal(narrow.endpoint.get(own.id, "own"), made, "the endpoint")
        narrow.endpoint.get_secret(APP, "own")
        narrow.endpoint.delete(APP, "own")
        narrow.message.list(APP)
        narrow.event_type.list()
    with run.check("errors", "an application's token may not do what is the organisation's"):
        message = MessageIn(event_type="job.created", payload={})
        ping = EventExampleIn(event_type="svix.ping")
        for ask in [
            lambda: narrow.application.list(),
            lambda: narrow.application.create(ApplicationIn(name="Mine")),
            lambda: narrow.application.patch(APP, ApplicationPatch(name="Mine")),
            lambda: narrow.application.delete(APP),
            lambda: narrow.event_type.create(EventTypeIn(name="mine", description="")),
            lambda: narrow.event_type.delete("job.completed"),
            lambda: narrow.message.create(APP, message),
            lambda: narrow.message.expunge_content(APP, f"msg_{NOBODY}"),
            lambda: narrow.endpoint.send_example(APP, "gives-up", ping),
            lambda: narrow.authentication.app_portal_access(APP, AppPortalAccessIn()),
        ]:
            with refused(403, "insufficient access"):
                ask()
        equal(svix.application.get(APP), own, "the application")
    with run.check("errors", "another application is not there for it"):
        svix.application.create(ApplicationIn(name="Other", uid="other"))
        svix.endpoint.create("other", EndpointIn(url="http://127.0.0.1:1024/other", uid="theirs"))
        for ask in [
            lambda: narrow.application.get("other"),
            lambda: narrow.endpoint.list("other"),
            lambda: narrow.endpoint.get("other", "theirs"),
            lambda: narrow.endpoint.get(APP, "theirs"),
            lambda: narrow.message.list("other"),
        ]:
            with refused(404, "not_found"):
                ask()


def portal(run, svix):
    with run.check("authentication.app_portal_access", "gives a link and a token"):
        access = svix.authentication.app_portal_access(APP, AppPortalAccessIn())
        true(re.match(r"https?://", access.url), f"a URL: {access.url[:40]}")
        true(access.token, "a token")
        with refused(404, "not_found"):
            svix.authentication.app_portal_access("nobody", AppPortalAccessIn())
    with run.check("authentication.app_portal_access", "its token is one of the application"):
        holder = run.client(access.token)
        equal(holder.application.get(APP).uid, APP, "the application")
        with refused(403, "insufficient access"):
            holder.application.list()
    with run.check("authentication.app_portal_access", "gives narrower rights where they are asked for"):
        for narrower in [{"read_only": True}, {"capabilities": ["ViewBase"], "session_id": "one"}]:
            access = svix.authentication.app_portal_access(APP, AppPortalAccessIn(**narrower))
            reader = run.client(access.token)
            reader.endpoint.list(APP)
            with refused(403, "insufficient access"):
                reader.endpoint.create(APP, EndpointIn(url="http://127.0.0.1:1024/not"))
    with run.check("authentication.expire_all", "ends sessions by their ids, or all"):
        svix.authentication.expire_all(APP, ApplicationTokenExpireIn(session_ids=["one"]))
        svix.authentication.expire_all(APP, ApplicationTokenExpireIn(expiry=60))
        with refused(404, "not_found"):
            svix.authentication.expire_all("nobody", ApplicationTokenExpireIn())
    with run.check("authentication.app_portal_access", "makes its application when there is none"):
        new = ApplicationIn(name="From a portal", uid="from-a-portal")
        svix.authentication.app_portal_access("from-a-portal", AppPortalAccessIn(application=new))
        equal(svix.application.get("from-a-portal").name, "From a portal", "its name")
    with run.check("authentication.logout", "is answered, or not offered"):
        try:
            holder.authentication.logout()
        except HttpError as error:
            equal((error.status_code, error.code), (501, "not_implemented"), "the refusal")


def run_health(run, svix):
    with run.check("health.get", "needs no token"):
        svix.health.get()
        run.client("nonsense").health.get()


def operations_of(client):
    """Every operation that the SDK has: its name, method and path, out of its own source."""
    found = []

    def of(thing, name):
        for member, value in inspect.getmembers(type(thing)):
            if member.startswith("_") or not callable(value) and not isinstance(value, property):
                continue
            if isinstance(value, property):
                below = getattr(thing, member)
                if isinstance(below, ApiBaseSync):
                    of(below, f"{name}{member}.")
                continue
            source = inspect.getsource(value)
            method = re.search(r'method="(\w+)"', source)
            path = re.search(r'path="([^"]+)"', source)
            if method and path:
                found.append((f"{name}{member}", method[1].upper(), path[1]))

    of(client, "")
    return found


def not_offered(run, svix):
    operations = operations_of(svix)
    places = {place: name for name, place in run.offered.items()}
    with run.check("sdk", "every operation that the SDK has is offered, or known not to be"):
        true(len(operations) > 100, f"only {len(operations)} operations found in the SDK")
        unknown = [
            one
            for one in operations
            if one[1:] not in places and not any(part in one[2] for _, part in run.not_offered)
        ]
        equal(unknown, [], "operations that operations.json does not have")
        missing = set(places) - {one[1:] for one in operations}
        equal(missing, set(), "operations of the table that the SDK does not have")
    api = ApiBaseSync(svix._client, svix._httpx_client)
    for name, method, path in operations:
        if (method, path) in places:
            continue
        names = {part: APP if part == "app_id" else "x" for part in re.findall(r"\{(\w+)\}", path)}
        with run.check("sdk", f"{name} is not offered, and says so"):
            try:
                body = None if method in ("GET", "DELETE") else "{}"
                api._request_sync(method=method, path=path, path_params=names, json_body=body)
            except HttpError as error:
                true(error.status_code in (404, 405, 501), f"status {error.status_code}")
                true(error.code and error.detail, "an error in JSON")
            else:
                raise AssertionError("it was done")
