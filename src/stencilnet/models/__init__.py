"""The paper's U-Net, VGG16, and one network that runs many tasks over any backbone."""

from stencilnet.models.layout import Layout, fresh_head, fresh_weights, layout_of
from stencilnet.models.multitask import MultiTaskNet
from stencilnet.models.stored import load, save
from stencilnet.models.unet import UNet
from stencilnet.models.vgg16 import VGG16

__all__ = ["VGG16", "Layout", "MultiTaskNet", "UNet", "fresh_head", "fresh_weights", "layout_of", "load", "save"]
