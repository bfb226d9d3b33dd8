from __future__ import annotations

import socket
import subprocess
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from django.conf import settings

from nasweb import processes
from nasweb.processes import Child, PortError
from searchjobs.models import Queue, Worker


def test_without_a_wish_the_first_free_port_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setattr(processes, "FIRST_PORT", port)
        monkeypatch.setattr(processes, "LAST_PORT", port + 20)
        assert port < processes.choose_port("127.0.0.1", 0) < port + 20
        with pytest.raises(PortError, match=f"^Port {port} is in use; .* set PORT"):
            processes.choose_port("127.0.0.1", port)


def test_an_address_of_another_machine_is_one_sentence() -> None:
    with pytest.raises(PortError, match=r"set PORT or NASWEB_BIND\.$"):
        processes.choose_port("192.0.2.1", 0)


def test_a_child_and_what_it_started_end_together(
    tmp_path: Path, wait_until: Callable[..., object]
) -> None:
    said: list[str] = []
    child = Child(
        "shell",
        ["sh", "-c", "sleep 60 & echo $!; exec sleep 60"],
        tmp_path,
        lambda name, line: said.append(f"{name} {line}"),
    )
    child.start()
    wait_until(lambda: said)
    name, grandchild = said[0].split()
    assert name == "shell"
    processes.stop_all([child])
    assert child.has_ended()
    wait_until(lambda: _is_gone(int(grandchild)))


def _is_gone(pid: int) -> bool:
    """Ended, or waiting for init to notice that it has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"
    except OSError:
        return subprocess.run(["ps", "-p", str(pid)], check=False).returncode != 0


def test_a_real_worker_writes_its_row(
    worker: subprocess.Popen[bytes], wait_until: Callable[..., Worker]
) -> None:
    row = wait_until(
        lambda: Worker.objects.filter(name__startswith="test@").first(),
        seconds=60,
        what="the worker's row",
    )
    assert row.slots.count() == 1
    assert Queue.objects.get(name="cpu").device == Queue.Device.CPU
    assert worker.poll() is None


def test_the_real_site_answers_on_the_database_of_the_test(live_site: str) -> None:
    with urllib.request.urlopen(f"{live_site}/healthz") as response:
        assert response.status == 200
    with urllib.request.urlopen(f"{live_site}/") as response:
        assert "/accounts/login/" in response.url  # nothing is shown without log-in
        policy = response.headers["Content-Security-Policy"]
    assert "unsafe-eval" not in policy
    assert "http" not in policy


def test_the_site_brings_plotly_and_htmx_itself(live_site: str) -> None:
    for path in ("plotly/plotly.min.js", "django_htmx/htmx-2.min.js"):
        address = f"{live_site}/{settings.STATIC_URL.strip('/')}/{path}"
        with urllib.request.urlopen(address) as response:
            assert response.status == 200
            assert len(response.read()) > 20_000
