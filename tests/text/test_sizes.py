"""Numbers of bytes as text."""

from stencilnet.text.sizes import mebibytes


def test_units_suit_the_size() -> None:
    sizes = {
        100: "0.1 KiB",
        120_000: "117.2 KiB",
        2**20 - 1: "1024.0 KiB",
        2**20: "1.00 MiB",
        59_100_000: "56.36 MiB",
        338 * 2**20: "338.0 MiB",
        1000 * 2**20: "0.98 GiB",
        5 * 2**30: "5.00 GiB",
        5000 * 2**30: "5,000.00 GiB",
    }
    assert {size: mebibytes(size) for size in sizes} == sizes
