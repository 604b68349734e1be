"""Runs the paper's U-Net on a picture of any size, strip by strip, with the same result as on the whole picture."""

from stencilnet.tiles.unet import Layers, run_unet

__all__ = ["Layers", "run_unet"]
