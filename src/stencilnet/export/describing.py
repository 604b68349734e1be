"""What a stranger has to know to run a task's ONNX file, as the file's own metadata."""

from collections.abc import Mapping

from onnx import ModelProto, helper

from stencilnet.bundle import TaskRecord
from stencilnet.graphs.writer import IMAGE, OUTPUT
from stencilnet.kinds.catalog import kind_from_record, traits_of
from stencilnet.runtime.answering import trained_side
from stencilnet.text.strict_json import dumps


def described(record: TaskRecord, sides: str) -> dict[str, str]:
    """Describe a task's input and output.

    Args:
        record: The task's record.
        sides: The sides that the graph takes, in words.

    Raises:
        ValueError: If this stencilnet does not know the task's kind.
    """
    traits, side = traits_of(record.kind), trained_side(kind_from_record(record.kind, record.settings), record.recipe)
    channels = "three equal channels" if traits.input != "RGB" else "sRGB / 255"
    seen = "" if side is None else f" The task was learned on pictures whose shorter side is {side}: resize to that."
    return {
        "kind": record.kind,
        "settings": dumps(record.settings),
        "input": f"{IMAGE}: float32 (N, 3, H, W) in [0, 1], {traits.input} as {channels}. H and W {sides}.{seen}",
        "output": f"{OUTPUT}: float32 (N, {record.channels}, ...): {traits.raw or traits.output}.",
    }


def with_metadata(model: ModelProto, metadata: Mapping[str, str], doc: str) -> ModelProto:
    """Set a graph's metadata and description, and return it."""
    helper.set_model_props(model, dict(metadata))
    model.doc_string = doc
    return model
