"""The side of the agent that runs in the pod: standard library and the probe alone.

It is started by `pytest_egress.backends.agent.bundle` and speaks JSON lines over its standard
input and output: requests with an ``id``, each answered once, in any order; and, both ways,
messages without one.
"""
