"""The backend kind: a cluster of its own in containers, with a minimal Istio."""

from __future__ import annotations
