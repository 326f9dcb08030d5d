"""Kubernetes' own objects, as far as istiod turns them into services: Services and their pods."""
