"""The report of a finished job, in Markdown."""

from app.jobs.schemas import JobResult

BAR_LENGTH = 30  # characters


def write_report(result: JobResult) -> str:
    """Return totals, a table of the most frequent words and a bar chart of them."""
    # TODO 5.3: A report is generated
    raise NotImplementedError("TODO 5.3: A report is generated")
