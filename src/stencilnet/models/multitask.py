"""One backbone, many tasks: run any of them, or fold one into a plain module."""

import copy
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from stencilnet.bundle import TaskRecord
from stencilnet.delta import DeltaError, Replace, Stored, TaskDelta, backbone_key, split_columns
from stencilnet.masks import NetState, specs_of, whole_weights, write_task
from stencilnet.models.columns import Columns, run, split_laterals
from stencilnet.models.layout import Layout, fresh_head, fresh_weights, layout_of
from stencilnet.models.unet import DECODER, UNet


class MultiTaskNet(nn.Module):
    """A frozen backbone and its tasks. The backbone knows nothing of masks or tasks.

    One object is not thread-safe, since `torch.func.functional_call` swaps the module's tensors while it runs.
    Materialise a task to run it from several threads.

    Args:
        backbone: Any network ``(N, 3, H, W) -> (N, C, ...)``; it is not copied, and is frozen.
        head: Name of its last layer, which every task replaces by its own.
        decoder: Prefixes of the decoder's keys, for the decoder baseline; None (default) for the U-Net's own.
        deltas: Tasks learned so far, by name, in order; may load lazily.
        records: Their descriptions, by name.
        memory: Tensors needed to learn further tasks but not to run any; bundles never contain them.
        stored: The form in which a bundle stores the backbone, whose weights have been rounded to it.

    Raises:
        ValueError: If `head` or `decoder` do not fit the backbone.
    """

    def __init__(
        self,
        backbone: nn.Module,
        *,
        head: str = "head",
        decoder: Iterable[str] | None = None,
        deltas: Mapping[str, TaskDelta] | None = None,
        records: Mapping[str, TaskRecord] | None = None,
        memory: Mapping[str, Tensor] | None = None,
        stored: Stored = "float32",
    ) -> None:
        super().__init__()
        if decoder is None:
            decoder = backbone.decoder if isinstance(backbone, UNet) else DECODER
        self.layout: Layout = layout_of(backbone, head, decoder)
        self.backbone = backbone.requires_grad_(False).eval()
        self.head = head
        self.decoder = tuple(decoder)
        self.deltas: Mapping[str, TaskDelta] = {} if deltas is None else deltas
        self.records: Mapping[str, TaskRecord] = {} if records is None else records
        self.memory: Mapping[str, Tensor] = {} if memory is None else memory
        self.stored: Stored = stored

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the learned tasks, in order."""
        return tuple(self.deltas)

    @property
    def state(self) -> NetState:
        """The network as a value; its tensors are the backbone's own, not copies."""
        return NetState(self._split()[0], self.deltas, self.memory, self.stored)

    def with_state(self, state: NetState, records: Mapping[str, TaskRecord]) -> "MultiTaskNet":
        """Return a network with the same kind of backbone in another state; this one does not change.

        Raises:
            DeltaError: If the state's shared weights do not fit this backbone.
        """
        own = {name: (tensor.shape, tensor.dtype) for name, tensor in self._split()[0].items()}
        given = {name: (tensor.shape, tensor.dtype) for name, tensor in state.shared.items()}
        wrong = sorted(name for name in own.keys() | given.keys() if own.get(name) != given.get(name))
        if wrong:
            raise DeltaError(
                f"Expected a state over this backbone's own weights, but {wrong} are missing, foreign, or of another "
                "shape or dtype. Is it another backbone's state?"
            )
        backbone = copy.deepcopy(self.backbone)
        backbone.load_state_dict(dict(state.shared), strict=False)
        return MultiTaskNet(
            backbone,
            head=self.head,
            decoder=self.decoder,
            deltas=state.deltas,
            records=records,
            memory=state.memory,
            stored=state.stored,
        )

    def fresh_head(self, channels: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Draw a new head with the given output channels, by state-dict key."""
        return fresh_head(self.backbone, self.head, channels, generator)

    def fresh_weights(self, seed: int) -> dict[str, Tensor]:
        """Draw new weights for everything except the head, by state-dict key."""
        return fresh_weights(self.backbone, self.head, seed)

    def check(self, delta: TaskDelta) -> None:
        """Refuse a delta that does not fit this backbone.

        Raises:
            DeltaError: If a key, shape or dtype does not fit, or part of the head is missing.
        """
        shared, head = self._split()
        delta.check(specs_of(shared), specs_of(head))

    def forward(self, x: Tensor, task: str) -> Tensor:
        """Run one task.

        Args:
            x: Images ``(N, 3, H, W)`` in [0, 1], any H and W.
            task: Name of a learned task.

        Returns:
            Raw outputs ``(N, C, H, W)`` of the task.

        Raises:
            DeltaError: If there is no such task, or its delta does not fit.
            ValueError: If `x` is not a batch of three-channel images.
        """
        if x.dim() != 4 or x.shape[1] != 3:
            raise ValueError(f"Expected argument `x` to be images (N, 3, H, W), but got shape {tuple(x.shape)}.")
        weights = self._checked_weights(task, self._columns(task))
        self.backbone.eval()  # after net.train(), finished tasks' running statistics would change
        return run(self.backbone, weights, x)

    def materialize(self, task: str) -> nn.Module:
        """Fold a task into a plain module: the same outputs bit for bit, at the plain network's speed.

        A task of a progressive net becomes the module of its columns, `Columns`.

        Raises:
            DeltaError: If there is no such task, or its delta does not fit.
        """
        deltas = self._columns(task)
        columns = split_columns(self._checked_weights(task, deltas))
        places = {name: place for place, name in enumerate(columns)}
        parts = [split_laterals(weights, places) for weights in columns.values()]
        modules = [self._folded(deltas[name or task], own) for name, (own, _) in zip(columns, parts, strict=True)]
        return modules[0] if len(modules) == 1 else Columns(modules, [adapters for _, adapters in parts]).eval()

    def _folded(self, delta: TaskDelta, weights: Mapping[str, Tensor]) -> nn.Module:
        """Return a module with a task's own weights, without adapters."""
        # Tensors that an entry computes are new already; the others belong to the backbone or the delta.
        new = {name for name, entry in delta.entries.items() if not isinstance(entry, Replace)}
        own = {name: t if name in new else t.clone() for name, t in weights.items()}
        # deepcopy takes objects from its memo instead of copying them.
        memo: dict[int, Tensor] = {
            id(parameter): nn.Parameter(own[name], requires_grad=False)
            for name, parameter in self.backbone.named_parameters()
        }
        memo |= {id(buffer): own[name] for name, buffer in self.backbone.named_buffers() if name in own}
        module = copy.deepcopy(self.backbone, memo)
        _resize(module.get_submodule(self.head), weights[self.layout.head[0]].shape[0])
        return module.eval()

    def switch(self, module: nn.Module, task: str) -> None:
        """Turn a module that `materialize` made for any task into another task's, in place, with the same bytes.

        This takes about as long as copying the weights, and memory only for a head of another shape. An error leaves
        the module unchanged. No other thread may run it meanwhile.

        Args:
            module: A module made by `materialize`, on the backbone's device, with its dtypes.
            task: The task that it becomes.

        Raises:
            DeltaError: If there is no such task, or its delta does not fit.
            ValueError: If `materialize` of this network did not make `module`, or the task belongs to a progressive
                network and runs other columns too.
        """
        delta = self._delta(task)
        if delta.needs:
            raise ValueError(
                f"Expected a task of one column, but `{task}` runs through those of {', '.join(delta.needs)} too. "
                "Materialise it."
            )
        shared, head = self._split()
        delta.check(specs_of(shared), specs_of(head))
        own = dict(module.state_dict())
        self._check_folded(module, own, shared | head)
        for name in self.layout.head:
            if own[name].shape != delta.entries[name].shape:
                own[name] = torch.empty(delta.entries[name].shape, dtype=own[name].dtype, device=own[name].device)
                layer, _, leaf = name.rpartition(".")
                setattr(module.get_submodule(layer), leaf, nn.Parameter(own[name], requires_grad=False))
        write_task(delta, shared, own)
        _resize(module.get_submodule(self.head), own[self.layout.head[0]].shape[0])
        module.eval()

    def _check_folded(self, module: nn.Module, own: Mapping[str, Tensor], reference: Mapping[str, Tensor]) -> None:
        remedy = "Pass a module that this net's `materialize` made, where it was made."
        if type(module) is not type(self.backbone) or own.keys() != reference.keys():
            raise ValueError(
                f"Expected `module` to be a {type(self.backbone).__name__} with the backbone's own keys, "
                f"but got a {type(module).__name__} with others or another class. {remedy}"
            )
        for name, tensor in reference.items():
            free = 1 if name in self.layout.head else 0  # a head may have any number of output channels
            wanted, got = ((t.shape[free:], t.dtype, t.device) for t in (tensor, own[name]))
            if wanted != got:
                raise ValueError(
                    f"Expected the module's `{name}` to be {tensor.dtype} of shape {tuple(tensor.shape)} on "
                    f"{tensor.device}, but got {own[name].dtype} of shape {tuple(own[name].shape)} on "
                    f"{own[name].device}. {remedy}"
                )
            if tensor.numel() and tensor.device.type != "meta" and tensor.data_ptr() == own[name].data_ptr():
                raise ValueError(f"Expected the module's `{name}` to be its own, but it is the backbone's. {remedy}")

    def _delta(self, task: str) -> TaskDelta:
        if task not in self.deltas:
            raise DeltaError(f"No task `{task}`. Learned so far: {', '.join(self.tasks) or 'none'}.")
        return self.deltas[task]

    def _columns(self, task: str) -> dict[str, TaskDelta]:
        """Return the deltas of a task and of the tasks that it needs, each read once."""
        delta = self._delta(task)
        return {task: delta} | {need: self.deltas[need] for need in delta.needs if need in self.deltas}

    def _checked_weights(self, task: str, columns: Mapping[str, TaskDelta]) -> dict[str, Tensor]:
        shared, head = self._split()
        specs = specs_of(shared), specs_of(head)
        for delta in columns.values():
            delta.check(*specs)
        if columns[task].needs and not self.layout.levels:
            raise DeltaError(
                f"Expected a U-Net for `{task}`, whose adapters are at its levels, but got a "
                f"{type(self.backbone).__name__}. Is it another backbone's task?"
            )
        # A delta is kept on the CPU, and its head has no shared weight whose device it would follow.
        devices = {name: tensor.device for name, tensor in (shared | head).items()}
        weights = whole_weights(task, columns, shared)
        return {name: tensor.to(devices[backbone_key(name)]) for name, tensor in weights.items()}

    def _split(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        own = dict(self.backbone.state_dict())
        head = {name: own.pop(name) for name in self.layout.head}
        return own, head


def _resize(head: nn.Module, channels: int) -> None:
    """Set a head's number of output channels to that of its tensors."""
    if isinstance(head, nn.Conv2d):
        head.out_channels = channels
    elif isinstance(head, nn.Linear):
        head.out_features = channels
