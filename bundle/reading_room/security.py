"""Who may talk to the server: requests of its own pages, on this machine or with the token."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

LOOPBACK = ("127.0.0.1", "localhost", "::1")

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Content-Security-Policy of all pages."""

HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}

COOKIE = "room"
"""Name of the cookie that holds the token."""

Handler = Callable[[Request], Awaitable[Response]]


def is_loopback(host: str) -> bool:
    """Whether a server at an address can be reached from this machine alone."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Gate:
    """The checks that a request passes before it reaches the rooms.

    Args:
        hosts: values of the Host header that are the server's own, with the port.
        token: secret that a request from elsewhere carries; "" for a server on the loopback address.
    """

    def __init__(self, hosts: frozenset[str], token: str = "") -> None:
        self.hosts, self.token = hosts, token

    @classmethod
    def of(cls, host: str, port: int, token: str = "") -> Gate:
        """Return the gate of a server at an address."""
        names = LOOPBACK if is_loopback(host) else (host, *LOOPBACK)
        return cls(frozenset(f"[{name}]:{port}" if ":" in name else f"{name}:{port}" for name in names), token)

    async def __call__(self, request: Request, handle: Handler) -> Response:
        """Answer a request, or refuse it."""
        refusal = self.refusal(request)
        if refusal is not None:
            return with_headers(refusal)
        if self.token and request.query_params.get("token"):
            return with_headers(self._remembered(request))
        return with_headers(await handle(request))

    def refusal(self, request: Request) -> Response | None:
        """Return the answer to a request that is refused; None for one that may pass."""
        if request.headers.get("host", "").lower() not in self.hosts:
            return _refused("The address of this request is not that of the server.")
        if not self._is_own(request):
            return _refused("The request comes from another page.")
        if self.token and not self._knows_token(request):
            return _refused("The token is missing. Open the address that the server printed.")
        return None

    def _is_own(self, request: Request) -> bool:
        """Whether a request comes from a page of the server, or from no page."""
        origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site", "none")
        if origin is not None:
            return origin.lower().split("://", 1)[-1] in self.hosts and origin.lower().startswith("http")
        return site in ("same-origin", "none")

    def _knows_token(self, request: Request) -> bool:
        given = request.cookies.get(COOKIE) or request.query_params.get("token") or ""
        return hmac.compare_digest(given.encode(), self.token.encode())

    def _remembered(self, request: Request) -> Response:
        """Move the token from the address into a cookie."""
        answer = RedirectResponse(request.url.path, status_code=303)
        answer.set_cookie(COOKIE, self.token, httponly=True, samesite="strict")
        return answer


def with_headers(answer: Response) -> Response:
    """Add the headers of every answer."""
    for name, value in HEADERS.items():
        answer.headers[name] = value
    return answer


def _refused(reason: str) -> Response:
    return JSONResponse({"error": reason}, status_code=403)
