"""Bringing an application's own traffic in: connections that the proxy captures."""
