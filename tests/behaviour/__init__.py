"""What a VirtualService or DestinationRule promises, seen on the real Envoy.

Each test runs twice: with the setting, where the promise holds, and without it, where the same
question has another answer.
"""
