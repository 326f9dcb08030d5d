"""The CAs that a pod trusts."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_egress.backends import trust_store
from pytest_egress.backends.trust_store import os_bundle
from pytest_egress.errors import BackendError


def test_the_pods_own_bundle_goes_first(tmp_path: Path) -> None:
    """One below the pod's root, wherever its operating system keeps it; else this machine's."""
    assert os_bundle(str(tmp_path)) == os_bundle()
    own = tmp_path / "etc" / "pki" / "tls" / "certs" / "ca-bundle.crt"
    own.parent.mkdir(parents=True)
    own.write_text("")
    assert os_bundle(str(tmp_path)) == str(own)


def test_none_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says where it was looked for."""
    monkeypatch.setattr(trust_store, "_BUNDLES", ("/nowhere/ca.pem",))
    with pytest.raises(BackendError, match=r"/nowhere/ca\.pem"):
        os_bundle()
