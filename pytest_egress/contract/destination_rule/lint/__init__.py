"""Warnings about DestinationRules that Istio accepts and that rarely mean what they say."""
