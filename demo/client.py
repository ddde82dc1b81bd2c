"""The demonstration's HTTP client: each exchange is shown, and an answer nobody expects ends the story."""

import json
import re
import time
from collections.abc import Mapping
from typing import Any

import aiohttp
import msgspec

from demo.presentation import Stage

_TIMEOUT_S = 45.0  # above the longest wait that a client may ask of a service
_UUID = re.compile(r"([0-9a-f]{4})[0-9a-f]{4}-[0-9a-f-]{23}([0-9a-f]{4})")


class Unreachable(Exception):
    """Nothing answers at an address, or not in time."""


class Unexpected(Exception):
    """An answer with which the story cannot go on."""


class Answer(msgspec.Struct, frozen=True):
    """One HTTP answer."""

    status: int
    headers: Mapping[str, str]
    body: Any  # parsed where it is JSON, else text
    seconds: float

    @property
    def token(self) -> dict[str, str]:
        """The header that makes a later read wait for this write."""
        if "Consistency-Token" not in self.headers:
            raise Unexpected(f"The answer {self.status} carries no Consistency-Token: {self.body}")
        return {"Consistency-Token": self.headers["Consistency-Token"]}


class Client:
    """All four services over one session."""

    def __init__(self, session: aiohttp.ClientSession, urls: Mapping[str, str], stage: Stage) -> None:
        self.urls = urls
        self._session = session
        self._stage = stage

    async def call(
        self,
        service: str,
        method: str,
        path: str,
        *,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        expect: int | None = None,
        quiet: bool = False,
    ) -> Answer:
        """One exchange, shown unless `quiet`.

        Raises Unreachable, and Unexpected where `expect` is given and another status comes.
        """
        url = self.urls[service] + path
        started = time.monotonic()
        try:
            async with self._session.request(
                method,
                url,
                json=body,
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S, sock_connect=5),
            ) as response:
                text = await response.text()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unreachable(f"{url} does not answer ({type(error).__name__})") from error
        answer = Answer(
            response.status,
            response.headers,
            _parsed(response.content_type, text),
            time.monotonic() - started,
        )
        if not quiet:
            self._stage.request(service, method, _short(path), answer.status, answer.seconds)
        if expect is not None and answer.status != expect:
            raise Unexpected(f"{method} {url} answered {answer.status} instead of {expect}:\n{text[:1000]}")
        return answer

    async def get(
        self, service: str, path: str, *, headers: Mapping[str, str] | None = None, quiet: bool = False
    ) -> Any:
        """The body of a GET that has to succeed."""
        return (await self.call(service, "GET", path, headers=headers, expect=200, quiet=quiet)).body


def _parsed(content_type: str, text: str) -> Any:
    return json.loads(text) if content_type.endswith("json") else text


def _short(path: str) -> str:
    """A path with its ids cut short, so that it fits on a line."""
    return _UUID.sub(r"\1…\2", path)
