"""The report of a finished job, in Markdown."""

from app.jobs.schemas import JobResult

BAR_LENGTH = 30  # characters


def write_report(result: JobResult) -> str:
    """Return totals, a table of the most frequent words and a bar chart of them."""
    minutes, seconds = divmod(result.reading_time_seconds, 60)
    lines = [
        "# Text report",
        "",
        "| | |",
        "|---|---:|",
        f"| Characters | {result.characters} |",
        f"| Words | {result.words} |",
        f"| Different words | {result.unique_words} |",
        f"| Sentences | {result.sentences} |",
        f"| Lines | {result.lines} |",
        f"| Reading time | {minutes} min {seconds} s |",
    ]
    if result.top_words:
        most = result.top_words[0].count
        width = max(len(top.word) for top in result.top_words)
        lines += ["", "## Most frequent words", "", "| Word | Count | Share |", "|---|---:|---:|"]
        lines += [
            f"| {top.word} | {top.count} | {top.count / result.words:.1%} |"
            for top in result.top_words
        ]
        lines += ["", "```text"]
        lines += [
            f"{top.word:<{width}} {'█' * max(1, round(BAR_LENGTH * top.count / most))} {top.count}"
            for top in result.top_words
        ]
        lines += ["```"]
    return "\n".join(lines) + "\n"
