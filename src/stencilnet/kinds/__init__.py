"""Task kinds as a bundle's user needs them: settings, inputs, answers, words. NumPy only; `stencilnet.tasks` learns."""
