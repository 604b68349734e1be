"""Task kinds: their inputs, outputs, losses and metrics."""
