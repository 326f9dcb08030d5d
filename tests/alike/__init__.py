"""What every backend does alike: one suite, run on those that EGRESS_ALIKE names."""
