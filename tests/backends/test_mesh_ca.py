"""The certificates that proxies of ours show one another."""

from __future__ import annotations

from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from pytest_egress.backends.mesh_ca import MeshAuthority


def certificate(path: str) -> x509.Certificate:
    """The one in a file."""
    return x509.load_pem_x509_certificate(Path(path).read_bytes())


def test_a_workload_is_named_as_istiod_does(tmp_path: Path) -> None:
    """By a URI alone, signed by the CA that comes with it; nobody else can read the key."""
    found = MeshAuthority(tmp_path).identity("cluster.local", "shop", "default")
    leaf, root = certificate(found.certificate), certificate(found.root)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert [it.value for it in names.value] == ["spiffe://cluster.local/ns/shop/sa/default"]
    assert names.critical
    assert not list(leaf.subject)
    public = root.public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    algorithm = leaf.signature_hash_algorithm
    assert algorithm is not None
    public.verify(leaf.signature, leaf.tbs_certificate_bytes, ec.ECDSA(algorithm))
    assert Path(found.key).stat().st_mode & 0o777 == 0o600


def test_one_certificate_per_workload_and_one_root(tmp_path: Path) -> None:
    """Asked again, it is the same."""
    authority = MeshAuthority(tmp_path)
    first = authority.identity("cluster.local", "shop", "default")
    other = authority.identity("cluster.local", "shop", "other")
    assert authority.identity("cluster.local", "shop", "default") == first
    assert other.root == first.root
    assert other.certificate != first.certificate
