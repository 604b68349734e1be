"""Networks that cannot be a backbone are refused with the reason, before anything is learned."""

from collections import OrderedDict

import pytest
import torch
from torch import Tensor, nn

from stencilnet.models import MultiTaskNet
from stencilnet.models.checking import check_forward, check_tensors


def network(**changes: nn.Module) -> nn.Sequential:
    layers = {"conv": nn.Conv2d(3, 4, 3, padding=1), "other": nn.Conv2d(4, 4, 1), "head": nn.Conv2d(4, 2, 1)}
    return nn.Sequential(OrderedDict(layers | changes)).eval()


class Calling(nn.Module):
    """A network that does something of its own with its layers."""

    def __init__(self, forward: object) -> None:
        super().__init__()
        self.layers, self.head = network(), nn.Conv2d(2, 2, 1)
        self.own = forward

    def forward(self, x: Tensor) -> object:
        return self.own(self, x)  # type: ignore[operator]


def test_tied_weights_are_refused() -> None:
    net = network()
    net.other = net.head
    with pytest.raises(ValueError, match=r"but `other\.weight` and `head\.weight` are the same\..* untie them\."):
        check_tensors(net)


def test_views_of_each_others_memory_are_refused() -> None:
    net = network()
    net.other.bias = nn.Parameter(net.conv.weight.detach()[1, 0, 0, :2])
    with pytest.raises(ValueError, match=r"but `conv\.weight` and `other\.bias` share some.*`\.clone\(\)`"):
        MultiTaskNet(net, decoder=())
    net.other.bias = nn.Parameter(torch.ones(1).expand(4))
    with pytest.raises(ValueError, match=r"Expected `other\.bias` to have memory for each of its values"):
        check_tensors(net)


def test_parts_of_one_memory_that_do_not_overlap_are_fine() -> None:
    net, memory = network(), torch.rand(8)
    net.other.bias, net.conv.bias = nn.Parameter(memory[:4]), nn.Parameter(memory[4:])
    check_tensors(net)


@pytest.mark.filterwarnings("ignore")  # PyTorch deprecates its own quantised tensors
def test_quantised_and_lazy_layers_are_refused() -> None:
    net = network(other=nn.Sequential(nn.Flatten(), nn.Linear(4, 4)))
    packed = torch.ao.quantization.quantize_dynamic(net, {nn.Linear}, dtype=torch.qint8)
    with pytest.raises(TypeError, match=r"Expected `other\.1\..*` to be a plain tensor of floats, but got .*quantised"):
        check_tensors(packed)
    net.conv.weight = nn.Parameter(torch.ones(4, 3, 3, 3, dtype=torch.int8), requires_grad=False)
    with pytest.raises(TypeError, match=r"Expected `conv\.weight` .* but got numbers of torch\.int8"):
        check_tensors(net)
    with pytest.raises(TypeError, match=r"Expected `conv\.weight` .* UninitializedParameter.* after lazy layers have"):
        check_tensors(network(conv=nn.LazyConv2d(4, 3)))


def test_a_dictionary_is_refused_by_name_with_its_remedy() -> None:
    net = Calling(lambda self, x: OrderedDict(out=self.head(self.layers(x)), aux=x))
    said = r"one tensor .*but got a OrderedDict with 'out', 'aux'\. Wrap it .* returns `self\.net\(images\)\['out'\]`"
    with pytest.raises(TypeError, match=said):
        check_forward(net, "head", 16)
    with pytest.raises(TypeError, match=r"but got a tuple\. Wrap it .* `self\.net\(images\)\[0\]`"):
        check_forward(Calling(lambda self, x: (self.head(self.layers(x)), x)), "head", 16)


def test_changes_in_place_are_refused() -> None:
    with pytest.raises(ValueError, match=r"changes its input in place"):
        check_forward(Calling(lambda self, x: self.head(self.layers(x.sub_(0.5)))), "head", 16)

    def scaling(self: Calling, x: Tensor) -> Tensor:
        self.layers.conv.weight.view(-1).mul_(0.5)
        return self.head(self.layers(x))

    with pytest.raises(ValueError, match=r"changes `layers\.conv\.weight` in place.* Let it work on a copy"):
        check_forward(Calling(scaling).requires_grad_(False), "head", 16)


def test_a_head_that_is_not_the_last_layer_is_refused() -> None:
    with pytest.raises(ValueError, match=r"to return \(N, 4, \.\.\.\), the 4 channels of its head `other`"):
        check_forward(network(), "other", 16)
    check_forward(network(), "head", 16)
