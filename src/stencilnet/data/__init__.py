"""Data sets: folders of pictures, public sets, and the embedded procedural scenes."""
