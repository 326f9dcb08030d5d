"""Mutation of contracts: what would have to be wrong with one for no test to notice."""
