"""What a renter's TRACED job imports: the step interface whose every segment anyone can re-execute."""

from worker.sdk.job import JobContext, StepResult, TracedJob

__all__ = ["JobContext", "StepResult", "TracedJob"]
