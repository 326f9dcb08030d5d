"""Gateways: read, validated, warned about."""
