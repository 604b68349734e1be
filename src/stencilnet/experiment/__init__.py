"""Runs a whole experiment: learn, save, re-test, resume, report."""
