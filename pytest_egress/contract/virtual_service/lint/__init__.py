"""Warnings about VirtualServices that Istio accepts and that rarely mean what they say.

Most look at the whole contract: what a route names must be declared by some other resource.
"""
