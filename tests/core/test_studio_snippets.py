"""What the studio copies asks for the same image elsewhere, whatever the prompt holds."""

from __future__ import annotations

import json
import shlex
import subprocess
from itertools import pairwise

import attrs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hunyuan_async._core.requests import prepare
from hunyuan_async._core.wire import submit_body
from hunyuan_async._keys import KEY_VARIABLE
from hunyuan_async.models import ImageRequest
from hunyuan_async.settings import API_IN_ONE
from hunyuan_async.studio._snippets import as_curl, as_python

HOSTILE = 'it\'s "$(touch /tmp/x)" `id` $HOME !! \\ \n\t\u202e\0 <b>\U0001f41f'
ADDRESSES = ["https://a.example/x.png?s=1&t='2'", "https://b.example/y"]
prompts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60).filter(str.strip)
requests = st.builds(
    ImageRequest,
    prompt=prompts,
    size=st.sampled_from(["1024*1024", "16:9", "256x1536"]),
    seed=st.integers(0, 2**31 - 1),
    model=st.none() | st.text("abc-3.", min_size=1, max_size=9),
    extra=st.dictionaries(st.text("'\"xyz", min_size=1, max_size=4), st.booleans() | prompts | st.none(), max_size=2),
) | st.builds(
    ImageRequest,
    prompt=prompts,
    type=st.just("edit"),
    images=st.lists(st.sampled_from(ADDRESSES), min_size=1, max_size=2),
    seed=st.integers(0, 2**31 - 1),
)


def _words(command: str) -> list[str]:
    """The command's words as a shell reads them; only this key's variable is anything but text."""
    return shlex.split(command.replace(" \\\n", " "))


@given(requests)
@example(ImageRequest(HOSTILE, seed=7))
def test_curl_sends_the_same_body(request: ImageRequest) -> None:
    """Quoted so that a shell changes nothing of it."""
    prepared = prepare(request, API_IN_ONE)
    words = _words(as_curl(prepared, API_IN_ONE, API_IN_ONE.base_url))
    assert words[:4] == ["curl", "--request", "POST", "https://apiin.one/api/v1/images/generations"]
    headers = [after for word, after in pairwise(words) if word == "--header"]
    assert headers == [f"Authorization: Bearer ${KEY_VARIABLE}", "Content-Type: application/json"]
    assert json.loads(words[-1]) == json.loads(submit_body(prepared, API_IN_ONE))


@pytest.mark.parametrize("prompt", [HOSTILE, "'", "a' ; echo b '", "@/etc/passwd", "-o x"])
def test_a_real_shell_passes_it_on(prompt: str) -> None:
    """With the key out of the environment, and nothing else run or expanded."""
    request = prepare(ImageRequest(prompt, seed=7), API_IN_ONE)
    command = as_curl(request, API_IN_ONE, "http://127.0.0.1:1/it's")
    shell = f"curl() {{ printf '%s\\0' \"$@\"; }}\n{command}"
    environment = {KEY_VARIABLE: "aio_k'\"$x"}
    out = subprocess.run(["/bin/sh", "-c", shell], env=environment, capture_output=True, check=True).stdout
    words = out.decode().split("\0")[:-1]
    assert words[2] == "http://127.0.0.1:1/it's/images/generations"
    assert words[4] == "Authorization: Bearer aio_k'\"$x"
    assert json.loads(words[-1])["prompt"] == request.prompt


@given(requests)
@example(ImageRequest(HOSTILE, seed=7))
def test_python_makes_the_same_request(request: ImageRequest) -> None:
    """It compiles, and what it asks for is equal."""
    prepared = prepare(request, API_IN_ONE)
    program = as_python(prepared, API_IN_ONE, API_IN_ONE.base_url)
    names: dict[str, object] = {"__name__": "copied"}
    exec(compile(program, "copied", "exec"), names)  # noqa: S102 - that it does what it says is what is tested
    made = names["request"]
    assert isinstance(made, ImageRequest)
    assert made == attrs.evolve(prepared, id=None)
    assert submit_body(prepare(made, API_IN_ONE), API_IN_ONE) == submit_body(prepared, API_IN_ONE)


@pytest.mark.parametrize(
    ("base_url", "made"), [(API_IN_ONE.base_url, "Client()"), ("http://[::1]/a'", "Client(base_url")]
)
def test_python_names_another_address_only(base_url: str, made: str) -> None:
    """The service's own is the client's own."""
    program = as_python(ImageRequest("a koi", seed=7), API_IN_ONE, base_url)
    compile(program, "copied", "exec")
    assert made in program
