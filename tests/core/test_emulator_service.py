"""The emulated service without a socket: what it accepts, charges, refuses, limits and logs."""

import json
import random
from collections.abc import Callable
from typing import cast

import attrs
import pytest

from hunyuan_async.emulator import EmulatorSettings, Picture, fixed
from hunyuan_async.emulator._answers import Answer
from hunyuan_async.emulator._service import EmulatedService, Get, Post

ORIGIN = "http://127.0.0.1:8000"
SETTINGS = EmulatorSettings(latency=fixed(10), credits=1000)


def service(settings: EmulatorSettings = SETTINGS, *, seed: int = 0) -> EmulatedService:
    """A service whose tasks take 10 seconds and whose keys are "key" and "second"."""
    return EmulatedService(settings, ["key", "second"], random.Random(seed))


def order(**fields: object) -> bytes:
    """The body of a submit; a field that is None is left out."""
    whole = {"model": "hunyuan-image-3", "prompt": "a fox", **fields}
    return json.dumps({name: value for name, value in whole.items() if value is not None}).encode()


def submit(emulated: EmulatedService, body: bytes = order(), *, now: float = 0, key: str | None = "key") -> Answer:
    """Submit one task."""
    return emulated.submit(body, key=key, origin=ORIGIN, now=now)


def poll(emulated: EmulatedService, now: float, task_id: str | None = None) -> Answer:
    """Look at a task, by default the last one."""
    return emulated.poll(task_id or emulated.issued[-1], key="key", origin=ORIGIN, now=now)


def error(answer: Answer) -> dict[str, object]:
    """The error in an answer, which must have the documented envelope and nothing else."""
    assert list(answer.body) == ["error"]
    return cast("dict[str, object]", answer.body["error"])


def url(answer: Answer) -> str:
    """The address in the answer to a finished task of the default shape."""
    return cast("str", json.loads(json.dumps(answer.body))["data"]["outputs"][0])


def fetch(emulated: EmulatedService, address: str, now: float) -> Picture | Answer:
    """Ask for the picture behind an address of `url`."""
    path, _, query = address.removeprefix(f"{ORIGIN}/files/").partition(".png?expires=")
    expires, _, signature = query.partition("&signature=")
    return emulated.picture(path, expires, signature, now=now)


def picture(emulated: EmulatedService) -> Picture:
    """The picture of the last task, which must be finished at 10."""
    shown = fetch(emulated, url(poll(emulated, 10)), 10)
    assert isinstance(shown, Picture)
    return shown


def test_a_submit_is_answered_as_documented() -> None:
    """Accepted means a 200 with the id and IN_PROGRESS under data, and 25 credits less."""
    emulated = service()

    answer = submit(emulated)

    assert answer == Answer(
        200,
        {"code": 200, "message": "success", "data": {"task_id": emulated.issued[0], "status": "IN_PROGRESS"}},
    )
    assert emulated.issued[0].endswith("_hunyuan3")
    assert emulated.balance == 975


def test_a_task_runs_until_its_time_is_up() -> None:
    """A status check shows IN_PROGRESS before the latency has passed and completed from then on."""
    emulated = service()
    submit(emulated)

    shown = [json.loads(json.dumps(poll(emulated, now).body))["data"]["status"] for now in (0, 9.9, 10, 99)]

    assert shown == ["IN_PROGRESS", "IN_PROGRESS", "completed", "completed"]


@pytest.mark.parametrize("key", [None, "", "other"])
def test_an_unknown_key_is_refused(key: str | None) -> None:
    """401 in the documented envelope, for submits and status checks, and nothing is charged."""
    emulated = service()

    answer = submit(emulated, key=key)
    looked = emulated.poll("n1", key=key, origin=ORIGIN, now=0)

    assert (answer.status, error(answer)["code"]) == (401, 401)
    assert looked.status == 401
    assert emulated.balance == 1000


def test_several_keys_share_tasks_and_balance() -> None:
    """Keys of one account see each other's tasks."""
    emulated = service()

    submit(emulated, key="second")

    assert poll(emulated, 0).status == 200
    assert emulated.balance == 975


@pytest.mark.parametrize(
    "fields",
    [
        {"model": None},
        {"model": "hunyuan-image-2"},
        {"prompt": None},
        {"prompt": " \n"},
        {"prompt": "x" * 2001},
        {"prompt": 7},
        {"size": "1024x1024"},
        {"size": "16:9"},
        {"size": "255*1024"},
        {"size": "1024*1537"},
        {"size": " 1024*1024"},
        {"size": 1024},
        {"type": "image-to-image"},
        {"type": "edit"},
        {"type": "edit", "images": []},
        {"type": "edit", "images": ["https://a.example/1"] * 3},
        {"type": "edit", "images": "https://a.example/1"},
        {"type": "edit", "images": ["fox.png"]},
        {"type": "edit", "images": ["https:///fox.png"]},
        {"type": "edit", "images": ["http://[fox.png"]},
        {"type": "edit", "images": [1]},
        {"images": ["https://a.example/1"]},
        {"seed": -2},
        {"seed": 2**31},
        {"seed": 1.0},
        {"seed": True},
        {"seed": "1"},
    ],
)
def test_a_wrong_field_is_refused_free_of_charge(fields: dict[str, object]) -> None:
    """Each documented bound is checked, and answered with 400 in the documented envelope."""
    emulated = service()

    answer = submit(emulated, order(**fields))

    assert answer.status == 400
    assert (error(answer)["code"], error(answer)["type"]) == (400, "invalid_request")
    assert str(error(answer)["message"]).startswith("Invalid parameters")
    assert (emulated.balance, emulated.issued) == (1000, [])


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000])
def test_a_body_that_is_no_object_is_refused(body: bytes) -> None:
    """Whatever the bytes are, the answer is a 400."""
    assert submit(service(), body).status == 400


@pytest.mark.parametrize(
    "fields",
    [
        {"prompt": f" {'x' * 2000} "},
        {"size": "256*1536"},
        {"size": "1536*256"},
        {"type": "text-to-image", "images": []},
        {"type": "edit", "images": ["https://a.example/1", "http://b.example/2"]},
        {"seed": -1},
        {"seed": 0},
        {"seed": 2**31 - 1},
        {"guidance": 7},
    ],
)
def test_a_field_within_its_bounds_is_accepted(fields: dict[str, object]) -> None:
    """The bounds themselves belong to what is allowed; fields that are not documented are ignored."""
    assert submit(service(), order(**fields)).status == 200


def test_a_marked_prompt_is_refused_by_the_content_policy() -> None:
    """A prompt with [refuse] gets a 400 that names the content policy, and costs nothing."""
    emulated = service()

    answer = submit(emulated, order(prompt="a fox [refuse]"))

    assert answer.status == 400
    assert error(answer)["type"] == "content_policy_violation"
    assert "content policy" in str(error(answer)["message"])
    assert emulated.balance == 1000


def test_a_marked_prompt_fails_after_it_was_paid() -> None:
    """A prompt with [fail] is accepted and charged, runs for its time, and is failed then."""
    emulated = service()

    submit(emulated, order(prompt="a fox [fail]"))

    assert "IN_PROGRESS" in str(poll(emulated, 9).body)
    assert "failed" in str(poll(emulated, 10).body)
    assert emulated.balance == 975


def test_an_empty_balance_refuses_until_it_is_filled() -> None:
    """402 as soon as less than an image's price is left; status checks go on."""
    emulated = service(attrs.evolve(SETTINGS, credits=49))
    submit(emulated)

    refused = submit(emulated)
    emulated.balance += 1

    assert (refused.status, error(refused)["type"]) == (402, "insufficient_credits")
    assert poll(emulated, 0).status == 200
    assert submit(emulated).status == 200
    assert emulated.balance == 0


def test_the_request_limit_counts_submits_and_polls_together() -> None:
    """Two requests a second: the third of any kind waits, and is told for how long."""
    emulated = service(attrs.evolve(SETTINGS, requests_per_second=2))
    statuses = [submit(emulated).status, poll(emulated, 0).status]

    refused = submit(emulated)

    assert statuses == [200, 200]
    assert (refused.status, error(refused)["code"], refused.headers) == (429, 429, {"Retry-After": "1"})
    assert poll(emulated, 0.1).status == 429
    assert poll(emulated, 0.5).status == 200
    assert emulated.balance == 975


def test_the_task_limit_opens_when_a_task_finishes() -> None:
    """One task in flight: the next is refused, free of charge, until the first is finished."""
    emulated = service(attrs.evolve(SETTINGS, tasks_in_flight=1))
    submit(emulated)

    refused = submit(emulated, now=1.5)

    assert (refused.status, refused.headers) == (429, {"Retry-After": "9"})
    assert emulated.balance == 975
    assert submit(emulated, now=10).status == 200


@pytest.mark.parametrize(
    "settings",
    [
        EmulatorSettings(requests_per_second=1, retry_after=False),
        EmulatorSettings(tasks_in_flight=1, retry_after=False),
    ],
)
def test_either_limit_can_keep_quiet_about_when_to_come_back(settings: EmulatorSettings) -> None:
    """Without Retry-After a 429 is bare."""
    emulated = service(settings)
    submit(emulated)

    refused = submit(emulated)

    assert (refused.status, refused.headers) == (429, {})


def test_tasks_beyond_the_workers_wait_inside_the_service() -> None:
    """One worker makes two tasks one after the other, and both are in progress until then."""
    emulated = service(attrs.evolve(SETTINGS, workers=1))
    submit(emulated)
    submit(emulated)

    assert "IN_PROGRESS" in str(poll(emulated, 19.9).body)
    assert "completed" in str(poll(emulated, 20).body)


def test_speed_divides_every_duration() -> None:
    """At speed 5, ten seconds are two, and an address lives a fifth as long."""
    emulated = service(attrs.evolve(SETTINGS, speed=5, url_lifetime=100))
    submit(emulated)

    finished = poll(emulated, 2)

    assert isinstance(fetch(emulated, url(finished), 21.9), Picture)
    assert isinstance(fetch(emulated, url(finished), 22), Answer)


def test_a_submit_may_be_answered_with_the_finished_task() -> None:
    """Then the address is there at once, and works."""
    emulated = service(attrs.evolve(SETTINGS, finished_at_once=True))

    answer = submit(emulated)

    assert emulated.issued[0] in str(answer.body)
    assert isinstance(fetch(emulated, url(answer), 0), Picture)


def test_a_finished_task_may_be_forgotten_once_it_was_seen() -> None:
    """Checks before the end do no harm; after the first finished answer it is 404, and its image stays."""
    emulated = service(attrs.evolve(SETTINGS, forgets_finished=True))
    submit(emulated)

    answers = [poll(emulated, now) for now in (5, 10, 11)]

    assert [answer.status for answer in answers] == [200, 200, 404]
    assert error(answers[2])["code"] == 404
    assert isinstance(fetch(emulated, url(answers[1]), 11), Picture)


def test_an_unknown_task_is_not_found() -> None:
    """404 in the documented envelope."""
    answer = poll(service(), 0, "n68xxxx_hunyuan3")

    assert (answer.status, error(answer)["code"]) == (404, 404)


def test_an_address_expires_and_another_look_gives_a_new_one() -> None:
    """403 after its time; the task itself is still there."""
    emulated = service(attrs.evolve(SETTINGS, url_lifetime=60))
    submit(emulated)
    first, second = url(poll(emulated, 10)), url(poll(emulated, 65))

    expired = fetch(emulated, first, 70)

    assert isinstance(expired, Answer)
    assert (expired.status, error(expired)["code"]) == (403, 403)
    assert isinstance(fetch(emulated, second, 70), Picture)


def test_a_forged_address_is_refused() -> None:
    """Neither another task nor another time of expiry can be put into a signed address."""
    emulated = service()
    submit(emulated)
    address = url(poll(emulated, 10))

    for forged in (address.replace("expires=", "expires=9"), address + "0", address.replace("/n", "/m")):
        assert isinstance(fetch(emulated, forged, 10), Answer)


def test_a_picture_is_drawn_from_prompt_seed_and_size() -> None:
    """What was asked for is what is drawn."""
    emulated = service()
    submit(emulated, order(prompt=" a koi pond ", seed=7, size="1280*720"))

    assert picture(emulated) == Picture("a koi pond", 7, 1280, 720)


@pytest.mark.parametrize("seed", [None, -1])
def test_a_seed_left_to_the_service_is_drawn(seed: int | None) -> None:
    """Two such tasks have different seeds, within the documented bounds."""
    emulated = service()
    seeds = []
    for _ in range(2):
        submit(emulated, order(seed=seed))
        seeds.append(picture(emulated).seed)

    assert seeds[0] != seeds[1]
    assert all(0 <= each < 2**31 for each in seeds)


def test_small_pictures_keep_the_ratio() -> None:
    """64 pixels wide, and as much higher as was asked for."""
    emulated = service(attrs.evolve(SETTINGS, small_pictures=True))
    submit(emulated, order(seed=1, size="512*1024"))

    assert picture(emulated) == Picture("a fox", 1, 64, 128)


def test_an_edit_starts_from_its_images() -> None:
    """An image of the emulator's own is what is edited; any other is named, and not fetched."""
    emulated = service()
    submit(emulated, order(seed=1))
    images = [url(poll(emulated, 10)), "https://a.example/1.png?signature=1"]
    submit(emulated, order(prompt="at night", type="edit", images=images, seed=2, size="256*256"))

    assert picture(emulated) == Picture(
        "at night",
        2,
        256,
        256,
        (Picture("a fox", 1, 1024, 1024), Picture("Input image https://a.example/1.png", 0, 256, 256)),
    )


def test_everything_received_is_logged() -> None:
    """Accepted and refused submits, status checks and downloads, with time, answer and id."""
    emulated = service()
    submit(emulated, now=1)
    submit(emulated, order(prompt="b"), now=2, key="wrong")
    task_id = emulated.issued[0]
    fetch(emulated, url(poll(emulated, 11)), 12)
    poll(emulated, 13, "n0")

    assert emulated.posts == [
        Post(1, "key", order(), 200, task_id),
        Post(2, "wrong", order(prompt="b"), 401, None),
    ]
    assert emulated.issued == [task_id]
    assert emulated.polls == [Get(11, task_id, 200), Get(13, "n0", 404)]
    assert emulated.downloads == [Get(12, task_id, 200)]


def test_a_seeded_service_repeats_itself() -> None:
    """The same seed gives the same ids and drawn seeds, another one gives others."""

    def made(seed: int) -> tuple[list[str], Picture]:
        emulated = service(seed=seed)
        submit(emulated)
        return emulated.issued, picture(emulated)

    assert made(1) == made(1)
    assert made(1) != made(2)


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("shapes", lambda: EmulatorSettings(shapes=("no such shape",))),
        ("shapes", lambda: EmulatorSettings(shapes=())),
        ("failures", lambda: EmulatorSettings(failures=("fail",))),
        ("accepted", lambda: EmulatorSettings(accepted=("data",))),
        ("done_words", lambda: EmulatorSettings(done_words=())),
        ("speed", lambda: EmulatorSettings(speed=0)),
        ("workers", lambda: EmulatorSettings(workers=0)),
        ("requests_per_second", lambda: EmulatorSettings(requests_per_second=0)),
        ("tasks_in_flight", lambda: EmulatorSettings(tasks_in_flight=0)),
    ],
)
def test_settings_that_make_no_sense_are_refused(name: str, make: Callable[[], EmulatorSettings]) -> None:
    """A misspelt shape or a limit of nothing is an error at once, and names the setting."""
    with pytest.raises(ValueError, match=name):
        make()
