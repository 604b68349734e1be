"""Numbers of bytes as text."""


def mebibytes(count: int) -> str:
    """Format bytes in MiB (2^20 bytes, the paper's MB); less than one in KiB, a thousand or more in GiB."""
    size = count / 2**20
    if size < 1:
        return f"{count / 1024:.1f} KiB"
    if size >= 1000:
        return f"{size / 1024:,.2f} GiB"
    return f"{size:.2f} MiB" if size < 100 else f"{size:.1f} MiB"
