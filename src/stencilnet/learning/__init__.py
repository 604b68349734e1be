"""Learning one task, or several at once: what the commands that learn and `stencilnet.learn` share."""
