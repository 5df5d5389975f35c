"""The page of the jobs. Its path is not `/jobs`, which is the API."""

from pathlib import Path

from app.pages import page_router

HTML = Path(__file__).resolve().with_name("jobs.html")

router = page_router("/my-jobs", HTML, "jobs.css", "jobs.js", "jobs.svg")
