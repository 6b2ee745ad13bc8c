"""Who owns the ledger: one lease, judged by each process's own clock alone.

The clocks of the database and of other machines are never used: a step of either could make two
owners. The owner increments a beat; a standby watches it, and takes over when it has not changed
for the whole duration. The owner trusts its lease for two thirds of that, from when it *sent* the
last renewal that was answered. Times are seconds of the boot-time clock, which goes on while a
machine sleeps.

The lease says which process should write. The fence stops all others: see `database`.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple


class Sight(NamedTuple):
    """The lease as it was read: its row, and the timeline of the server at that moment.

    A server that took over from another one has a new timeline, and may lack its last commits.
    """

    epoch: int
    holder: str | None
    beat: int
    timeline: str
    now: str


@dataclass(frozen=True, slots=True)
class Watch:
    """How long a process that does not own the lease has seen it without a change."""

    sight: Sight
    since: float
    last: float

    def after(self, sight: Sight, sent: float, answered: float, longest_gap: float) -> "Watch":
        """Return the watch after one more look, which was `sent` and `answered` then."""
        if sight != self.sight or answered - self.last > longest_gap:
            return Watch(sight, answered, answered)
        return replace(self, last=sent)

    def may_acquire(self, duration: float) -> bool:
        """Whether no process owns the lease any more."""
        sight = self.sight
        is_free = sight.holder is None and sight.timeline == sight.now
        return is_free or self.last - self.since >= duration


@dataclass(frozen=True, slots=True)
class Tenure:
    """The lease as its owner knows it.

    `trusted_until` is when the owner's trust ends unless the lease is renewed. Where it is
    `doubted_until` then, the owner neither writes nor shows anything, and has to acquire the lease
    once more after it.
    """

    holder: str
    epoch: int
    timeline: str
    trusted_until: float
    doubted_until: float | None = None

    def is_trusted(self, at: float) -> bool:
        """Whether the owner may begin to write, and show what it counted."""
        return self.doubted_until is None and at < self.trusted_until

    def is_doubt_over(self, at: float) -> bool:
        """Whether no other process can trust an earlier lease any more."""
        return self.doubted_until is not None and at >= self.doubted_until

    def renewed(self, timeline: str, sent: float, duration: float) -> "Tenure":
        """Return the tenure after a renewal that was sent then.

        Where the trust had run out and another server answers, an owner that was elected on the
        server of before may still trust its lease: it is given the time to see the end of it. What
        it wrote may be lost, and is not what this owner remembers.
        """
        is_doubtful = timeline != self.timeline and sent >= self.trusted_until
        return replace(
            self,
            timeline=timeline,
            trusted_until=sent + trust(duration),
            doubted_until=sent + duration if is_doubtful else self.doubted_until,
        )


def trust(duration: float) -> float:
    """Return for how long an owner trusts a renewal."""
    return duration * 2 / 3
