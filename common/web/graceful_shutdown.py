"""Leaving without losing what is on its way in.

aiohttp closes idle connections the moment it is told to stop. A request that is in the cable by then is
lost, and its sender cannot know whether it was served: a charge would stay unknown. So connections are first
given back one by one, each with the answer to what came in on it (`Connection: close`, RFC 9112, 9.6).
"""

import asyncio

from aiohttp import hdrs, web

GRACE_S = 0.3  # busy connections are all used within this time, and so given back


class DrainingRunner(web.AppRunner):
    """Runs an application; in the end takes no new connections, then gives back the open ones."""

    _leaving = False

    async def setup(self) -> None:
        """See `web.AppRunner`."""
        self.app.on_response_prepare.append(self._give_back)
        await super().setup()

    async def cleanup(self) -> None:
        """See `web.AppRunner`; takes `GRACE_S` longer."""
        for site in list(self.sites):
            await site.stop()
        self._leaving = True  # only now: who is given his connection back opens another one
        await asyncio.sleep(GRACE_S)
        await super().cleanup()

    async def _give_back(self, _: web.Request, response: web.StreamResponse) -> None:
        if self._leaving:
            response.force_close()
            response.headers[hdrs.CONNECTION] = "close"  # aiohttp has decided on this header by now
