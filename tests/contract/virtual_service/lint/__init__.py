"""Warnings about VirtualServices."""
