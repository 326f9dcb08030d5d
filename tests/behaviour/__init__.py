"""What a VirtualService or DestinationRule promises, seen on the real Envoy.

Each test runs twice: with the setting, where the promise holds, and without it, where the same
question has another answer.

Envoy counts a timer from the beginning of its loop: it may fire some milliseconds early.
"""
