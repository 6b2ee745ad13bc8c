"""The page as a test wants to read it: by metric and label, without the prefix."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from exporter.catalog import PREFIX


@dataclass(frozen=True)
class Page:
    """A parsed page. Names are given without the prefix of the product, but with `_total`."""

    text: str
    samples: tuple[Sample, ...]

    @classmethod
    def from_text(cls, text: str) -> "Page":
        """Parse a page in the text format 0.0.4."""
        lines = (line for line in text.split("\n") if line and not line.startswith("#"))
        return cls(text, tuple(map(_sample, lines)))

    @classmethod
    def from_openmetrics(cls, text: str) -> "Page":
        """Parse a page in OpenMetrics, strictly."""
        families = openmetrics.text_string_to_metric_families(text)  # type: ignore[no-untyped-call]
        return cls(text, tuple(sample for family in families for sample in family.samples))

    def value(self, name: str, /, **labels: str) -> float:
        """Return the value of the one sample that has these labels, and perhaps others."""
        found = list(self._found(name, labels))
        if len(found) != 1:
            raise AssertionError(f"{len(found)} samples are {name} {labels}: {found}")
        return found[0].value

    def values(self, name: str, /, *by: str, **labels: str) -> dict[tuple[str, ...], float]:
        """Return the values of all samples that have these labels, by the values of others.

        Without `by` the key holds every label value, in the order of the page.
        """
        found = list(self._found(name, labels))
        keyed = {_key(sample, by): sample.value for sample in found}
        if len(keyed) != len(found):
            raise AssertionError(f"{name} {labels}: {by} does not tell the samples apart")
        return keyed

    def has(self, name: str, /, **labels: str) -> bool:
        """Whether any sample has these labels."""
        return next(self._found(name, labels), None) is not None

    def names(self) -> frozenset[str]:
        """Return the names of our metrics that have samples."""
        return frozenset(
            sample.name.removeprefix(PREFIX)
            for sample in self.samples
            if sample.name.startswith(PREFIX)
        )

    def _found(self, name: str, labels: dict[str, str]) -> Iterator[Sample]:
        return (
            sample
            for sample in self.samples
            if sample.name == PREFIX + name and labels.items() <= sample.labels.items()
        )


@lru_cache(maxsize=2**16)
def _sample(line: str) -> Sample:
    """Parse a line. The parser is slow, and most lines were on the page before."""
    (family,) = text_string_to_metric_families(line)
    (sample,) = family.samples
    return sample


def _key(sample: Sample, by: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sample.labels[label] for label in by or sample.labels)
