"""Who may talk to the server: requests of its own pages, on this machine or with the token."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Awaitable, Callable, Sequence

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

_HTTP = 80

Handler = Callable[[Request], Awaitable[Response]]


def is_loopback(host: str) -> bool:
    """Whether a server at an address can be reached from this machine alone."""
    address = _address(host)
    return host.lower() == "localhost" or (address is not None and address.is_loopback)


def is_everywhere(host: str) -> bool:
    """Whether a server at an address listens on all addresses of this machine, such as ``0.0.0.0``."""
    address = _address(host)
    return address is not None and address.is_unspecified


def in_address(host: str) -> str:
    """Return a host as browsers write it in an address: lower case, IPv6 in brackets."""
    address = _address(host)
    plain = host.lower() if address is None else address.compressed
    return f"[{plain}]" if ":" in plain else plain


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


class Gate:
    """The checks that a request passes before it reaches the rooms.

    A server on all addresses of the machine accepts any IP address as its own, but not a foreign host name
    that leads to it (DNS rebinding).

    Args:
        host: address that the server listens on.
        port: its port.
        names: further names of the machine.
        token: secret that a request from elsewhere carries; "" for a server on the loopback address.
    """

    def __init__(self, host: str, port: int, token: str = "", names: Sequence[str] = ()) -> None:
        self.token, self.port, self.everywhere = token, port, is_everywhere(host)
        self.names = frozenset(in_address(name) for name in (host, *names, *LOOPBACK))
        self.cookie = f"room_{port}"

    async def __call__(self, request: Request, handle: Handler) -> Response:
        """Answer a request, or refuse it."""
        refusal = self.refusal(request)
        if refusal is not None:
            return with_headers(refusal)
        if self.token and request.url.path == "/" and request.query_params.get("token"):
            return with_headers(self._remembered())
        return with_headers(await handle(request))

    def refusal(self, request: Request) -> Response | None:
        """Return the answer to a request that is refused; None for one that may pass."""
        if not self._is_host(request.headers.get("host", "")):
            return _refused("The address of this request is not that of the server.")
        if not self._is_own(request) and not _is_link(request):
            return _refused("The request comes from another page.")
        if self.token and not self._knows_token(request):
            return _refused("The token is missing. Open the address that the server printed.")
        return None

    def _is_host(self, host: str) -> bool:
        """Whether a Host header, or an Origin without its scheme, is that of the server."""
        name, separator, port = host.lower().rpartition(":")
        if not separator or port.endswith("]"):  # browsers leave the port of HTTP out
            name, port = host.lower(), str(_HTTP)
        if port != str(self.port):
            return False
        return name in self.names or (self.everywhere and _address(name.strip("[]")) is not None)

    def _is_own(self, request: Request) -> bool:
        """Whether a request comes from a page of the server, or from no page."""
        origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site", "none")
        if origin is not None:
            scheme, _, host = origin.partition("://")
            return scheme.lower() in ("http", "https") and self._is_host(host)
        return site in ("same-origin", "none")

    def _knows_token(self, request: Request) -> bool:
        given = request.cookies.get(self.cookie, ""), request.query_params.get("token", "")
        return any(hmac.compare_digest(each.encode("utf-8", "replace"), self.token.encode()) for each in given)

    def _remembered(self) -> Response:
        """Move the token from the address into a cookie, which a link to the room, but no foreign request, carries."""
        answer = RedirectResponse("/", status_code=303)
        answer.set_cookie(self.cookie, self.token, httponly=True, samesite="lax")
        return answer


def _is_link(request: Request) -> bool:
    """Whether a browser follows a link to the start page, which holds no data."""
    mode, kind = request.headers.get("sec-fetch-mode"), request.headers.get("sec-fetch-dest")
    return (request.method, request.url.path, mode, kind) == ("GET", "/", "navigate", "document")


def with_headers(answer: Response) -> Response:
    """Add the headers of every answer."""
    for name, value in HEADERS.items():
        answer.headers[name] = value
    return answer


def _refused(reason: str) -> Response:
    return JSONResponse({"error": reason}, status_code=403)
