"""What becomes of a submit, for every answer that can come."""

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hunyuan_async._core.replies import NoReply, Reply
from hunyuan_async._core.retry import Accepted, TryAgain, judge_submit, retry_after
from hunyuan_async.errors import (
    AuthError,
    ContentRefused,
    HunyuanError,
    NotSent,
    OutOfCredits,
    RateLimited,
    Refused,
    ServiceUnavailable,
    SubmitUnknown,
)
from hunyuan_async.models import ImageRequest
from hunyuan_async.settings import API_IN_ONE, Service

REQUEST = ImageRequest("a fox")
TASK_ID = "n68abcd_hunyuan3"
NOON = "Sun, 06 Nov 1994 12:00:00 GMT"
CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e]")

# What a status means: in the service's own envelope, and in a body that anything on the way may have written.
POLICY: dict[int, tuple[type[HunyuanError], type[HunyuanError]]] = {
    **dict.fromkeys((400, 404, 405, 406, 413, 415, 418, 422, 451, 499), (Refused, Refused)),
    **dict.fromkeys((301, 307, 308), (Refused, Refused)),
    401: (AuthError, AuthError),
    403: (AuthError, Refused),
    402: (OutOfCredits, OutOfCredits),
    **dict.fromkeys((300, 302, 303, 304, 408, 409, 425), (SubmitUnknown, SubmitUnknown)),
    421: (ServiceUnavailable, ServiceUnavailable),
    429: (RateLimited, RateLimited),
    503: (ServiceUnavailable, SubmitUnknown),
    **dict.fromkeys((500, 501, 502, 504, 520, 522, 524, 599), (SubmitUnknown, SubmitUnknown)),
}
SENT_AGAIN = {RateLimited, ServiceUnavailable}
OWN_ENVELOPES = {
    "documented": '{{"error": {{"code": {}, "message": "no", "type": "invalid_request"}}}}',
    "code at the top": '{{"code": {}, "message": "no", "data": null}}',
    "code as text": '{{"error": {{"code": "{}", "message": "no"}}}}',
}
BARE_BODIES = {
    "empty": b"",
    "HTML": b"<html><h1>Service Unavailable</h1></html>",
    "text": b"no healthy upstream",
    "message of a gateway": b'{"message": "Service Unavailable"}',
    "error of a gateway": b'{"timestamp": 1, "status": 503, "error": "Service Unavailable", "path": "/"}',
    "no object": b"[503]",
    "not UTF-8": b'{"error": {"code": 503, "message": "\xff"}}',
}


def judge(
    status: int,
    body: bytes | dict[str, object] = b"",
    headers: dict[str, str] | None = None,
    *,
    complete: bool = True,
    service: Service = API_IN_ONE,
) -> Accepted | TryAgain | HunyuanError:
    """What is decided after this answer."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return judge_submit(Reply(status, content, headers or {}, complete), REQUEST, service)


def error_in(verdict: Accepted | TryAgain | HunyuanError) -> HunyuanError:
    """The error that a verdict is or carries."""
    error = verdict.error if isinstance(verdict, TryAgain) else verdict
    assert isinstance(error, HunyuanError)
    return error


def said(**error: object) -> dict[str, object]:
    """The documented envelope around an error."""
    return {"error": error}


@pytest.mark.parametrize("envelope", OWN_ENVELOPES.values(), ids=OWN_ENVELOPES)
@pytest.mark.parametrize("inside_a_200", [False, True], ids=["as HTTP status", "inside a 200"])
@pytest.mark.parametrize("status", POLICY)
def test_an_error_in_the_services_own_envelope(status: int, inside_a_200: bool, envelope: str) -> None:
    """It means what the policy table says, whether the code is the HTTP status or stands in a 200 alone."""
    expected, _ = POLICY[status]
    http = 200 if inside_a_200 else status

    verdict = judge(http, envelope.format(status).encode())

    error = error_in(verdict)
    assert type(error) is expected
    assert isinstance(verdict, TryAgain) == (expected in SENT_AGAIN)
    assert (error.status, error.code) == (http, str(status))


@pytest.mark.parametrize("body", BARE_BODIES.values(), ids=BARE_BODIES)
@pytest.mark.parametrize("status", POLICY)
def test_an_error_that_anything_on_the_way_may_have_written(status: int, body: bytes) -> None:
    """It means what the policy table says; a 503 that the service itself did not sign proves nothing."""
    _, expected = POLICY[status]

    verdict = judge(status, body)

    assert type(error_in(verdict)) is expected
    assert isinstance(verdict, TryAgain) == (expected in SENT_AGAIN)


@pytest.mark.parametrize("status", [101, 200, 201, 202, 204, 600])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>Log in</html>",
        b"{}",
        {"code": 200, "message": "success"},
        {"code": 200, "message": "success", "data": {"status": "IN_PROGRESS"}},
        {"code": 200, "data": [1]},
        {"code": 1001, "message": "system busy"},
        {"data": {"task_id": "../admin"}},
        {"id": 7.5, "task_id": None},
    ],
)
def test_success_without_a_task_is_unknown(status: int, body: bytes | dict[str, object]) -> None:
    """It may have been charged, so nobody sends it again."""
    error = error_in(judge(status, body))

    assert (type(error), error.kind, error.charged, error.retry) == (SubmitUnknown, "unknown", "unknown", "no")


@pytest.mark.parametrize("status", [200, 202, 302, 400, 401, 402, 403, 409, 422, 429, 500, 502, 503])
@pytest.mark.parametrize(
    "body",
    [
        {"code": 200, "data": {"task_id": TASK_ID, "status": "IN_PROGRESS"}},
        {"task_id": TASK_ID},
        {"task_id": TASK_ID, "error": {"code": 500, "message": "moderation"}},
        {"code": 402, "message": "Insufficient credits", "data": {"task_id": TASK_ID}},
    ],
)
def test_a_task_id_wins_whatever_the_status(status: int, body: dict[str, object]) -> None:
    """What has an id exists and is paid, so it is never refused and never sent again."""
    verdict = judge(status, body)

    assert isinstance(verdict, Accepted)
    assert (verdict.task_id, verdict.certain) == (TASK_ID, True)


@pytest.mark.parametrize(
    ("status", "expected"), [(200, Accepted), (201, Accepted), (307, Refused), (401, AuthError), (502, SubmitUnknown)]
)
def test_an_image_without_a_task(status: int, expected: type) -> None:
    """In a success it is the finished work; elsewhere an address is a link to some page."""
    verdict = judge(status, {"url": "https://cdn.example/1.png"})

    assert type(verdict) is expected
    if isinstance(verdict, Accepted):
        assert verdict.answer
        assert (verdict.task_id, verdict.answer.urls) == ("", ("https://cdn.example/1.png",))


def test_the_requests_own_images_are_no_result() -> None:
    """An echo of the request shows nothing finished."""
    edit = ImageRequest("night", type="edit", images=("https://cdn.example/cat.png",))
    body = json.dumps({"images": edit.images}).encode()

    assert isinstance(judge_submit(Reply(200, body), edit, API_IN_ONE), SubmitUnknown)


@pytest.mark.parametrize(
    ("status", "body", "complete"),
    [
        (200, b'{"code":200,"data":{"task_id":"n68abcd_hunyuan3","sta', False),
        (200, b'{"code":200,"data":{"task_id":"n68abcd_hunyuan3","sta', True),
        (502, b'{"code":200,"data":{"task_id":"n68abcd_hunyuan3"', False),
        (200, b'{"note": "\xff", "task_id" : "n68abcd_hunyuan3"}', True),
        (200, b'{"reply": {"task_id": "n68abcd_hunyuan3"}}', True),
    ],
)
def test_an_id_that_stands_whole_is_saved(status: int, body: bytes, complete: bool) -> None:
    """It must be confirmed by a look, for the answer could not be read or has it in a strange place."""
    assert judge(status, body, complete=complete) == Accepted(TASK_ID, certain=False)


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, b'{"code":200,"data":{"task_id":"n68abc', SubmitUnknown),
        (200, b"", SubmitUnknown),
        (400, b'{"error": {"code": 400, "message": "again?", "of": {"task_id": "n68abcd_hunyuan3"}}}', Refused),
    ],
)
def test_an_id_cut_short_or_of_another_task_is_not_saved(status: int, body: bytes, expected: type) -> None:
    """Half an id is none, and a refusal may name somebody else's."""
    verdict = judge(status, body, complete=status != 200)

    assert type(verdict) is expected


def test_a_cut_off_answer_says_so() -> None:
    """The message tells what was seen and what was not done."""
    message = error_in(judge(200, b'{"co', complete=False)).message

    assert "(HTTP 200, cut off)" in message
    assert "not sent again" in message


@pytest.mark.parametrize(
    "body",
    [
        said(code=400, message="Rejected by MODERATION"),
        said(code="content_policy_violation", message="no"),
        said(code=400, message="no", type="nsfw_image"),
        {"error": "The prompt is sensitive"},
    ],
)
@pytest.mark.parametrize(
    ("status", "expected"),
    [
        *((status, ContentRefused) for status in (200, 307, 400, 402, 403, 404, 422, 451)),
        (401, AuthError),
        (421, ServiceUnavailable),
        (429, RateLimited),
        *((status, SubmitUnknown) for status in (303, 408, 409, 425, 500, 502, 503)),
    ],
)
def test_words_of_the_content_policy(status: int, expected: type[HunyuanError], body: dict[str, object]) -> None:
    """They make any refusal the item's, never the account's; what may have been accepted stays unknown."""
    assert type(error_in(judge(status, body))) is expected


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        *((status, OutOfCredits) for status in (200, 400, 402, 403, 422, 429)),
        *((status, SubmitUnknown) for status in (408, 500, 502)),
    ],
)
def test_words_of_an_empty_account(status: int, expected: type[HunyuanError]) -> None:
    """They end the submits of everybody, so that no image is refused one by one."""
    assert type(error_in(judge(status, {"error": "Insufficient Credits"}))) is expected


def test_a_service_has_its_own_words() -> None:
    """Another gateway is another value, not another rule."""
    service = Service(refusal_words=("verboten",), credit_words=("konto leer",))

    assert isinstance(judge(400, {"error": "Verboten!"}, service=service), ContentRefused)
    assert isinstance(judge(400, {"error": "Konto leer"}, service=service), OutOfCredits)
    assert type(judge(400, {"error": "moderation"}, service=service)) is Refused


@pytest.mark.parametrize(
    ("location", "place"),
    [
        ("https://new.example/api/v1/images/generations?key=secret#x", "to https://new.example;"),
        ("http://user:secret@new.example:8080/v1", "to http://new.example:8080;"),
        ("//new.example/secret", "to //new.example;"),
        ("/login?next=secret", "to another address;"),
        ("", "to another address;"),
        ("http://[::secret", "to another address;"),
        ("http://a\u2100b/secret", "to another address;"),
        ("https://new.example\u202e/secret", "to https://new.example\\u202e;"),
    ],
)
def test_a_redirect_names_the_origin_alone(location: str, place: str) -> None:
    """A path, a query or a password may be a secret, and a broken address is no reason to fail."""
    error = error_in(judge(307, headers={"location": location}))

    assert type(error) is Refused
    assert place in error.message
    assert "secret" not in error.message


@pytest.mark.parametrize(
    ("seen", "again", "expected", "retry"),
    [
        (NoReply("no route", sent=False), True, NotSent, "same"),
        (NoReply("bad certificate", sent=False, permanent=True), False, NotSent, "after_change"),
        (NoReply("connection lost", sent=True), False, SubmitUnknown, "no"),
        (NoReply("bad certificate", sent=True, permanent=True), False, SubmitUnknown, "no"),
    ],
)
def test_silence(seen: NoReply, again: bool, expected: type[HunyuanError], retry: str) -> None:
    """Only the proof that nothing was sent allows another try, and only if that can help."""
    verdict = judge_submit(seen, REQUEST, API_IN_ONE)

    error = error_in(verdict)
    assert isinstance(verdict, TryAgain) == again
    assert (type(error), error.retry) == (expected, retry)
    assert seen.reason in error.message


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        (" 120 ", 120.0),
        ("007", 7.0),
        ("9" * 5000, float("inf")),
        ("Sun, 06 Nov 1994 12:01:30 GMT", 90.0),
        ("Sun, 06 Nov 1994 11:00:00 GMT", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 252618177599.0),
        ("", None),
        ("-5", None),
        ("+5", None),
        ("1.5", None),
        ("1e3", None),
        ("\u0663", None),
        ("soon", None),
        ("Sun, 06 Nov 99999 12:00:00 GMT", None),
        ("Sun, 06 Nov 1994 12:00:00 +99999999999999", None),
        ("99999999999999999999 Nov 08:49:37 99999999999999999999", None),
        ("Sun, 06 Nov 1994 12:00:00 -0000", None),
        ("Sun, 06 Nov 1994 12:00:00", None),
    ],
)
def test_retry_after(text: str, seconds: float | None) -> None:
    """Whole seconds or a date, counted from the answer's own; anything else is as good as nothing."""
    assert retry_after({"retry-after": text, "date": NOON}) == seconds


def test_retry_after_a_date_needs_the_answers_own_date() -> None:
    """Our clock may be wrong by a day."""
    assert retry_after({"retry-after": NOON}) is None
    assert retry_after({"retry-after": NOON, "date": "now"}) is None


@pytest.mark.parametrize(("status", "limited"), [(429, True), (503, False), (421, False)])
def test_what_may_be_sent_again_says_when_and_why(status: int, limited: bool) -> None:
    """Each has its say about the pause; only a 429 blames the rate."""
    verdict = judge(status, said(code=status, message="later"), {"retry-after": "7"})

    assert isinstance(verdict, TryAgain)
    assert (verdict.after, verdict.limited) == (7.0, limited)


def test_a_bug_report_can_name_the_request() -> None:
    """The vendor's own ids come with the error, made safe to print; other headers do not."""
    error = error_in(judge(500, headers={"x-request-id": "r-1\x1b[2J", "cf-ray": "8a", "location": "secret"}))

    assert error.request_ids == {"x-request-id": "r-1\\u001b[2J", "cf-ray": "8a"}


hostile = st.text('ab \x1b\r\n\x00\x9b\u202e\u2028\ud800"\\{}:', max_size=30)
bodies = st.one_of(
    st.binary(max_size=60),
    st.builds(lambda code, text: json.dumps(said(code=code, message=text)).encode(), st.integers(0, 999), hostile),
    st.builds(lambda text: json.dumps({"code": text, "message": text}).encode(), hostile),
    st.builds(lambda text: json.dumps({"error": text, "status": text}).encode(), hostile),
)
headers = st.dictionaries(
    st.sampled_from(["retry-after", "date", "location", "x-request-id"]),
    st.one_of(
        hostile,
        hostile.map("https://{}".format),
        st.lists(st.sampled_from([*NOON.split(), "-0000", "+9999", "9" * 20, "-", ":", "("]), max_size=8).map(" ".join),
    ),
)


@settings(deadline=None)
@given(st.integers(100, 999), bodies, headers, st.booleans())
def test_any_answer_is_judged(status: int, body: bytes, headers: dict[str, str], complete: bool) -> None:
    """No answer raises, puts a control character into a message, or is sent again without a known refusal."""
    verdict = judge(status, body, headers, complete=complete)

    if isinstance(verdict, Accepted):
        return
    error = error_in(verdict)
    assert not any(CONTROLS.search(text) for text in (error.message, *error.request_ids.values()))
    if isinstance(verdict, TryAgain):
        assert {status, error.code} & {421, 429, 503, "421", "429", "503"}
        assert verdict.after is None or verdict.after >= 0
