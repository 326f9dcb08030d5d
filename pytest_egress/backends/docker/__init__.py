"""The docker backend: each pod is a container with the agent, and an Envoy that shares its network.

The pod has a network namespace without any way out, in which every address exists. The kernel
redirects what its programs open to Envoy, and what Envoy opens to the simulated outside, which
stays in the test process: the agent carries those connections. Thus no port is published, no
directory is mounted, and an engine on another machine does as well.
"""
