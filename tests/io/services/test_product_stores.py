"""The folder store, and the WebDAV store against a real server with connection faults."""

from __future__ import annotations

import contextlib
import hashlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st
from support import webdav
from webdav3.client import Client

from tasks.errors import AlgorithmError, Refused, Unavailable, UnusableData
from tasks.io.services import product_stores

HOSTILE = [
    "..",
    "../x",
    "a/../../x",
    "/etc/x",
    "a//b",
    "a/./b",
    "",
    ".",
    "a\\..\\b",
    "a\x00b",
    "a\r\nHost: evil/b",
    "\ud800",
    "a\u202eb",
    "x" * 201,
    "é" * 150,
    "/".join(["x"] * 1500),
    "plan.part",
    "Plan.PART/x",
    "a/plan.filepart",
    "a/.htaccess",
    "a /x",
    " a/x",
]
# wsgidav decodes a Destination before it splits it, so that ';' and '?' in a name end there: left out
ODD = [
    "%2e%2e/x",
    "a b/c#d&e=f",
    "Ünïcode/ä%41.txt",
    "a+b,c=d@e",
    "~root/x",
    "..hidden/...",
    "$(reboot)",
    "'x' \"y\" <z>",
]


@pytest.fixture(scope="module")
def module_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdav.Server]:
    with webdav.server(tmp_path_factory.mktemp("webdav") / "root") as running:
        yield running


@pytest.fixture
def server(module_server: webdav.Server) -> Iterator[webdav.Server]:
    module_server.calls.clear()
    yield module_server
    module_server.faults.clear()
    module_server.choose = None
    module_server.quota, module_server.largest = webdav.QUOTA, webdav.LARGEST


@pytest.fixture
def root(request: pytest.FixtureRequest) -> str:
    return hashlib.sha256(request.node.name.encode()).hexdigest()[:10]


@pytest.fixture
def open_store(server: webdav.Server) -> Iterator[Callable[..., product_stores.WebDavStore]]:
    opened = []

    def make(url: str = server.url, *, password: str = webdav.PASSWORD, root: str = "") -> product_stores.WebDavStore:
        options = {"webdav_login": webdav.USER, "webdav_password": password, "webdav_timeout": 0.5}
        opened.append(product_stores.WebDavStore(Client({"webdav_hostname": url, **options}), root=root))
        return opened[-1]

    yield make
    for each in opened:
        each.close()


@pytest.fixture
def store(open_store: Callable[..., product_stores.WebDavStore], root: str) -> product_stores.WebDavStore:
    return open_store(root=root)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (path := tmp_path / "plan.txt").write_bytes(b"tile RA Dec\n" * 100)
    return path


def put_at_last(store: product_stores.WebDavStore, source: Path, remote: str) -> int:
    """Try as the outbox does; return how many tries it took."""
    for tries in range(1, 100):
        with contextlib.suppress(Unavailable):
            store.put(source, remote)
            return tries
    raise AssertionError("a hundred tries were not enough")


@pytest.mark.parametrize("remote", HOSTILE)
def test_a_hostile_path_is_refused_before_anything_is_written(remote: str, tmp_path: Path, source: Path) -> None:
    with pytest.raises(UnusableData, match="no path in the store"):
        product_stores.FolderStore(tmp_path / "store").put(source, remote)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["plan.txt"]


@settings(max_examples=300, deadline=None)
@given(parts=st.lists(st.text(max_size=30) | st.sampled_from(["..", ".", "%2f..", "a"]), max_size=4))
def test_whatever_path_is_taken_lies_under_the_root(parts: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    outer = tmp_path_factory.mktemp("outer")
    (source := outer / "source").write_bytes(b"x")
    with contextlib.suppress(UnusableData, Unavailable):
        product_stores.FolderStore(outer / "store").put(source, "/".join(parts))
    assert {path.name for path in outer.iterdir()} <= {"source", "store"}


def test_a_link_that_leads_out_of_the_folder_is_not_followed(tmp_path: Path, source: Path) -> None:
    (outside := tmp_path / "outside").mkdir()
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "link").symlink_to(outside)
    with pytest.raises(UnusableData, match="link"):
        product_stores.FolderStore(tmp_path / "store").put(source, "link/plan.txt")
    assert list(outside.iterdir()) == []


def test_the_folder_store_writes_a_file_once_and_new_content_over_the_old(tmp_path: Path, source: Path) -> None:
    store = product_stores.FolderStore(tmp_path / "store")
    assert store.put(source, "a/b/plan.txt").written
    assert not store.put(source, "a/b/plan.txt").written
    source.write_bytes(b"new")
    assert store.put(source, "a/b/plan.txt").written
    assert [path.name for path in (tmp_path / "store" / "a" / "b").iterdir()] == ["plan.txt"]
    assert (tmp_path / "store" / "a" / "b" / "plan.txt").read_bytes() == b"new"


def test_a_folder_that_cannot_be_written_is_unavailable(tmp_path: Path, source: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(Unavailable):
        product_stores.FolderStore(tmp_path / "file").put(source, "a/plan.txt")


def test_webdav_makes_folders_and_puts_the_same_file_once(store, server, root: str, source: Path) -> None:
    assert store.put(source, "Candidates/GW/S241102br/GWEMOPT/plan.txt").written
    server.calls.clear()
    assert not store.put(source, "Candidates/GW/S241102br/GWEMOPT/plan.txt").written
    assert [method for method, _ in server.calls] == ["GET"]
    names = [name for name in server.files() if name.startswith(root)]
    assert names == [f"{root}/Candidates/GW/S241102br/GWEMOPT/plan.txt"]


def test_a_second_store_finds_the_folders_that_the_first_made(open_store, root: str, source: Path) -> None:
    open_store(root=root).put(source, "a/b/one.txt")
    assert open_store(root=root).put(source, "a/b/two.txt").written


@pytest.mark.parametrize("remote", ODD)
def test_odd_names_arrive_as_they_are(store, server, root: str, source: Path, remote: str) -> None:
    store.put(source, remote)
    assert server.files()[f"{root}/{remote}"] == source.read_bytes()


@pytest.mark.parametrize("remote", HOSTILE)
def test_a_hostile_path_never_reaches_the_server(store, server, source: Path, remote: str) -> None:
    with pytest.raises(UnusableData):
        store.put(source, remote)
    assert server.calls == []


def test_a_file_without_bytes_is_a_file(store, server, root: str, tmp_path: Path) -> None:
    (empty := tmp_path / "empty").write_bytes(b"")
    assert store.put(empty, "empty").written
    assert server.files()[f"{root}/empty"] == b""


@pytest.mark.parametrize("method", ["MKCOL", "PUT", "MOVE", "GET"])
@pytest.mark.parametrize("fault", ["500", "507", "423", "reset"])
def test_trouble_is_unavailable_and_leaves_nothing_under_the_final_name(
    store, server, root: str, source: Path, method: str, fault: str
) -> None:
    server.faults = [(method, fault)]
    with pytest.raises(Unavailable):
        store.put(source, "a/plan.txt")
    assert server.faults == []
    assert f"{root}/a/plan.txt" not in server.files()
    put_at_last(store, source, "a/plan.txt")
    assert [name for name in server.files() if name.startswith(root)] == [f"{root}/a/plan.txt"]


def test_a_file_that_changed_while_it_was_sent_leaves_nothing(store, server, root: str, source: Path) -> None:
    server.faults = [("MOVE", "reset"), *[("DELETE", "500")] * product_stores.REMOVALS]
    with pytest.raises(Unavailable):
        store.put(source, "a/page.html", attempt=1)
    source.write_text("other words")
    store.put(source, "a/page.html", attempt=3)
    assert [name for name in server.files() if name.startswith(root)] == [f"{root}/a/page.html"]


@pytest.mark.parametrize("fault", ["truncate", "flip"])
def test_spoiled_bytes_are_noticed_before_they_get_their_name(
    store, server, root: str, source: Path, fault: str
) -> None:
    server.faults = [("PUT", fault)]
    with pytest.raises(Unavailable, match="other bytes"):
        store.put(source, "plan.txt")
    assert f"{root}/plan.txt" not in server.files()
    assert store.put(source, "plan.txt").written


def test_no_name_that_owncloud_keeps_for_itself_is_used_for_a_file_on_its_way(store, server, root: str, source) -> None:
    """Kind: names and requests that ownCloud refuses and a bare WebDAV server takes."""
    with requests.Session() as session:
        session.auth = (webdav.USER, webdav.PASSWORD)
        for name in ("x.part", "x.FILEPART", ".htaccess", "x%20"):
            assert session.put(f"{server.url}/{name}", data=b"x").status_code == 400
            assert session.request("MKCOL", f"{server.url}/{name}").status_code == 400
        assert session.request("PROPFIND", server.url, headers={"Depth": "infinity"}).status_code == 403
        assert session.put(f"{server.url}/absent/x", data=b"x").status_code == 409
    store.put(source, "a/plan.txt")
    assert f"{root}/a/plan.txt" in server.files()


def test_bytes_that_differ_from_their_checksum_are_sent_again(store, server, source: Path, monkeypatch) -> None:
    real = product_stores._hash
    monkeypatch.setattr(product_stores, "_hash", lambda path, kind: "0" * 40 if kind == "sha1" else real(path, kind))
    with pytest.raises(Unavailable, match="other bytes"):
        store.put(source, "plan.txt")
    monkeypatch.undo()
    assert store.put(source, "plan.txt").written


def test_a_lock_of_somebody_else_delays_and_a_full_store_is_named(store, server, root: str, source: Path) -> None:
    store.put(source, "a/plan.txt")
    source.write_text("other words")
    body = '<d:lockinfo xmlns:d="DAV:"><d:lockscope><d:exclusive/></d:lockscope><d:locktype><d:write/></d:locktype></d:lockinfo>'
    where, auth = f"{server.url}/{root}/a/plan.txt", (webdav.USER, webdav.PASSWORD)
    lock = requests.request("LOCK", where, data=body, auth=auth, headers={"Timeout": "Second-60"})
    with pytest.raises(Unavailable, match="locked"):
        store.put(source, "a/plan.txt")
    requests.request("UNLOCK", where, auth=auth, headers={"Lock-Token": lock.headers["Lock-Token"]})
    assert store.put(source, "a/plan.txt", attempt=2).written
    server.quota = 0
    with pytest.raises(Unavailable, match="full"):
        store.put(source, "b.txt")


def test_a_file_beyond_the_limit_of_uploads_is_refused_with_the_remedy(store, server, source: Path) -> None:
    server.largest = 3
    with pytest.raises(AlgorithmError, match="larger limit"):
        store.put(source, "plan.txt")


def test_a_server_that_hangs_is_unavailable_after_the_timeout(store, server, source: Path) -> None:
    server.faults = [("GET", "hang")]
    with pytest.raises(Unavailable, match="does not answer"):
        store.put(source, "plan.txt")


def test_no_server_is_unavailable(open_store, source: Path) -> None:
    with pytest.raises(Unavailable):
        open_store("http://127.0.0.1:1").put(source, "plan.txt")


def test_a_wrong_password_is_refused_and_said_nowhere(open_store, source: Path, caplog) -> None:
    caplog.set_level(logging.DEBUG)
    store = open_store(password="wrong-canary")
    with pytest.raises(Refused, match="user or password") as caught:
        store.put(source, "plan.txt")
    assert "canary" not in repr(caught.value) + repr(caught.value.__cause__) + caplog.text


def test_a_folder_that_somebody_removed_is_made_again(store, server, root: str, source: Path) -> None:
    store.put(source, "a/one.txt")
    for path in sorted((server.root / root).rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    with pytest.raises(Unavailable):
        store.put(source, "a/two.txt")
    assert store.put(source, "a/two.txt").written


def test_each_attempt_has_a_temporary_name_of_its_own_and_clears_the_last_one(
    store, server, root: str, source: Path
) -> None:
    server.faults = [("MOVE", "reset"), *[("DELETE", "500")] * product_stores.REMOVALS]
    with pytest.raises(Unavailable):
        store.put(source, "a/plan.txt", attempt=1)
    store.put(source, "a/plan.txt", attempt=2)
    puts = [path for method, path in server.calls if method == "PUT"]
    assert len(set(puts)) == len(puts) == 2
    assert [name for name in server.files() if name.startswith(root)] == [f"{root}/a/plan.txt"]
