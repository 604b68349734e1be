"""Benchmarks: every number with its spread and the machine on which it was measured."""
