"""DestinationRules: read, validated, warned about."""
