"""The paper's U-Net, and one network that runs many tasks over any backbone."""

from stencilnet.models.layout import Layout, fresh_head, fresh_weights, layout_of
from stencilnet.models.multitask import MultiTaskNet
from stencilnet.models.record import TaskRecord
from stencilnet.models.unet import UNet

__all__ = ["Layout", "MultiTaskNet", "TaskRecord", "UNet", "fresh_head", "fresh_weights", "layout_of"]
