"""Task kinds: what goes in, what comes out, what is minimised, what is measured."""
