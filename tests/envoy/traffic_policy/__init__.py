"""Policies as they reach clusters, endpoints, routes and TCP proxies."""
