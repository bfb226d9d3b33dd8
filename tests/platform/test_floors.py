from __future__ import annotations

import pytest
from importlinter.cli import lint_imports

from tests.servers import ROOT


def test_imports_only_go_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert lint_imports(no_cache=True, no_logo=True) == 0
