"""Counts of requests, in the text format that Prometheus reads (version 0.0.4)."""

from collections import Counter, defaultdict
from collections.abc import Mapping

TEXT = "text/plain; version=0.0.4; charset=utf-8"

_BOUNDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds of the histogram's buckets, in seconds."""


class Metrics:
    """What the service has done since it started."""

    def __init__(self) -> None:
        self._responses: Counter[int] = Counter()
        self._requests: Counter[tuple[str, int]] = Counter()
        self._buckets: defaultdict[str, list[int]] = defaultdict(lambda: [0] * (len(_BOUNDS) + 1))
        self._seconds: defaultdict[str, float] = defaultdict(float)

    def count_response(self, status: int) -> None:
        """Count an answer to any request by its HTTP status."""
        self._responses[status] += 1

    def count(self, task: str, status: int, seconds: float) -> None:
        """Count an answered task.

        Args:
            task: A task of the bundle; several are separated by commas.
            status: The answer's HTTP status.
            seconds: From the request to its answer.
        """
        self._requests[task, status] += 1
        if status < 400:
            place = next((place for place, bound in enumerate(_BOUNDS) if seconds <= bound), len(_BOUNDS))
            self._buckets[task][place] += 1
            self._seconds[task] += seconds

    def text(self, gauges: Mapping[str, tuple[str, int]]) -> str:
        """Return all of it.

        Args:
            gauges: Current values by name, each with its help.
        """
        lines = ["# HELP stencil_requests_total Answered tasks.", "# TYPE stencil_requests_total counter"]
        for (task, status), count in sorted(self._requests.items()):
            lines.append(f'stencil_requests_total{{task="{task}",status="{status}"}} {count}')
        lines += ["# HELP stencil_responses_total Answers to all requests.", "# TYPE stencil_responses_total counter"]
        lines += [f'stencil_responses_total{{status="{status}"}} {n}' for status, n in sorted(self._responses.items())]
        lines += ["# HELP stencil_request_seconds Seconds from a request to its answer, if that is no error."]
        lines += ["# TYPE stencil_request_seconds histogram"]
        for task in sorted(self._buckets):
            lines += self._histogram(task)
        for name, (meaning, value) in gauges.items():
            lines += [f"# HELP {name} {meaning}", f"# TYPE {name} gauge", f"{name} {value}"]
        return "\n".join([*lines, ""])

    def _histogram(self, task: str) -> list[str]:
        lines, total = [], 0
        for bound, count in zip((*_BOUNDS, "+Inf"), self._buckets[task], strict=True):
            total += count
            lines.append(f'stencil_request_seconds_bucket{{task="{task}",le="{bound}"}} {total}')
        lines.append(f'stencil_request_seconds_sum{{task="{task}"}} {self._seconds[task]:.6f}')
        lines.append(f'stencil_request_seconds_count{{task="{task}"}} {total}')
        return lines
