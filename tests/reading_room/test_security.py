from __future__ import annotations

import pytest
from bundle.reading_room.security import POLICY, Gate, is_loopback
from bundle.reading_room.server import application
from starlette.testclient import TestClient


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "localhost.evil:8765", ""])
def test_other_hosts_are_refused(client: TestClient, host: str) -> None:
    assert client.get("/api/room", headers={"Host": host}).status_code == 403


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "http://localhost:8765.evil"])
def test_other_origins_are_refused(client: TestClient, origin: str) -> None:
    assert client.post("/api/measuring/undo", json={}, headers={"Origin": origin}).status_code == 403


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST", "[::1]"])
def test_names_of_this_machine_are_its_own(client: TestClient, host: str) -> None:
    assert client.get("/api/room", headers={"Host": f"{host}:8765"}).status_code == 200


@pytest.mark.parametrize(
    ("host", "port", "shown"),
    [
        ("127.0.0.2", 8765, "127.0.0.2:8765"),
        ("0:0:0:0:0:0:0:1", 8765, "[::1]:8765"),
        ("127.0.0.1", 80, "127.0.0.1"),
        ("::1", 80, "[::1]"),
        ("0.0.0.0", 8765, "10.0.0.7:8765"),
        ("::", 8765, "[fe80::7]:8765"),
        ("0.0.0.0", 8765, "ward-3:8765"),
    ],
)
def test_addresses_as_browsers_write_them_are_own(host: str, port: int, shown: str) -> None:
    gate = Gate(host, port, "" if is_loopback(host) else "secret", ["ward-3"])
    with TestClient(application([], gate), base_url="http://127.0.0.1") as client:
        path = f"/{'?token=secret' if gate.token else ''}"
        assert client.get(path, headers={"Host": shown}, follow_redirects=False).status_code in (200, 303)
        assert client.get(path, headers={"Host": f"evil.example:{port}"}).status_code == 403


@pytest.mark.parametrize(
    ("mode", "path", "status"), [("navigate", "/", 200), ("navigate", "/api/room", 403), ("cors", "/", 403)]
)
def test_a_link_of_another_site_leads_to_the_start_page_only(
    client: TestClient, mode: str, path: str, status: int
) -> None:
    sent = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": "document"}
    assert client.get(path, headers=sent).status_code == status


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_requests_of_other_sites_are_refused(client: TestClient, site: str) -> None:
    assert client.get("/api/joints", headers={"Sec-Fetch-Site": site}).status_code == 403


def test_own_pages_may_ask(client: TestClient) -> None:
    own = {"Origin": "http://127.0.0.1:8765", "Sec-Fetch-Site": "same-origin"}
    assert client.get("/api/room", headers=own).status_code == 200


@pytest.mark.parametrize("path", ["/", "/api/room", "/api/joints/none", "/pages/room.css", "/nothing"])
def test_every_answer_has_the_policy(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.headers["Content-Security-Policy"] == POLICY
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_server_on_the_network_needs_the_token() -> None:
    made = application([], Gate("10.0.0.7", 8765, "secret"))
    with TestClient(made, base_url="http://10.0.0.7:8765", follow_redirects=False) as client:
        assert client.get("/").status_code == 403
        assert client.get("/", params={"token": "wrong"}).status_code == 403
        answer = client.get("/", params={"token": "secret"})
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        assert "HttpOnly" in answer.headers["set-cookie"] and "SameSite=lax" in answer.headers["set-cookie"]
        assert client.get("/").status_code == 200


def test_the_printed_token_counts_beside_the_cookie_of_an_earlier_server() -> None:
    made = application([], Gate("10.0.0.7", 8765, "secret"))
    with TestClient(made, base_url="http://10.0.0.7:8765", cookies={"room_8765": "old"}) as client:
        assert client.get("/").status_code == 403
        assert client.get("/", params={"token": "secret"}).status_code == 200


@pytest.mark.parametrize(("host", "own"), [("127.0.0.1", True), ("::1", True), ("0.0.0.0", False), ("x.org", False)])
def test_loopback_addresses_are_known(host: str, own: bool) -> None:
    assert is_loopback(host) is own
