"""Learning one task, or several jointly: shared by the training commands and `stencilnet.learn`."""
