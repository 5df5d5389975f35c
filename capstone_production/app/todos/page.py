"""The page of the todos. Its path is not `/todos`, which is the API."""

from pathlib import Path

from app.pages import page_router

HTML = Path(__file__).resolve().with_name("todos.html")

router = page_router("/my-todos", HTML, "todos.css", "todos.js", "todos.svg")
