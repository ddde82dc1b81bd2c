"""The bare reference: an aiohttp server that answers and does nothing else. `python -m
perf.targets.echo_baseline PORT`"""

import sys

import uvloop
from aiohttp import web


async def _answer(_request: web.Request) -> web.Response:
    return web.Response(body=b'{"status":"ok"}', content_type="application/json")


def main() -> None:
    """Serve on loopback until killed."""
    app = web.Application()
    app.router.add_get("/", _answer)
    uvloop.install()
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None)


if __name__ == "__main__":
    main()
