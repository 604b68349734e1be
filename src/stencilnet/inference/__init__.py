"""Runs a bundle's networks with PyTorch."""
