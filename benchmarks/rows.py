"""Fills a database like years of use. Half of all todos belong to the reader."""

from __future__ import annotations

import psycopg

OTHERS = 1000  # users
STATEMENTS = {
    "users": """
        INSERT INTO users (username, username_folded, created_at)
        SELECT 'other-' || n, 'other-' || n, now() FROM generate_series(1, %(others)s) n
    """,
    "todos": """
        INSERT INTO todos (title, description, completed, created_at, updated_at, owner_id)
        SELECT 'Todo ' || n, 'What there is to say about it', n %% 3 = 0, now(), now(),
               CASE WHEN n %% 2 = 0 THEN %(reader)s ELSE %(reader)s + 1 + n %% %(others)s END
        FROM generate_series(1, %(rows)s) n
    """,
    "messages": """
        INSERT INTO messages (user_id, text, sent_at)
        SELECT %(reader)s + 1 + n %% %(others)s, 'What somebody said, number ' || n, now()
        FROM generate_series(1, %(rows)s) n
    """,
    "posts": """
        INSERT INTO posts (author_id, title, body, created_at, updated_at, deleted_at)
        SELECT %(reader)s + 1 + n %% %(others)s, 'Post ' || n, repeat('Some words. ', 20),
               now() - n * interval '1 second', now(), CASE WHEN n %% 10 = 0 THEN now() END
        FROM generate_series(1, %(rows)s) n
    """,
    "comments": """
        INSERT INTO comments (post_id, author_id, body, created_at, updated_at)
        SELECT (SELECT min(id) FROM posts) + n::bigint * 7919 %% %(rows)s,
               %(reader)s + 1 + n %% %(others)s, 'A comment', now(), now()
        FROM generate_series(1, %(rows)s) n
    """,
}


def fill(url: str, *, reader: int, rows: int) -> None:
    """Insert `rows` rows into every table that grows with use; `reader` is the newest user."""
    parameters = {"reader": reader, "rows": rows, "others": OTHERS}
    with psycopg.connect(url.replace("+asyncpg", ""), autocommit=True) as connection:
        # Without the checks of foreign keys, which are correct here.
        connection.execute("SET session_replication_role = replica")
        for statement in STATEMENTS.values():
            connection.execute(statement.encode(), parameters)
        connection.execute("VACUUM ANALYZE")


def own_todos(url: str, reader: int, count: int) -> list[int]:
    """Return ids of the reader's todos, evenly spread."""
    statement = """
        SELECT id FROM (
            SELECT id, row_number() OVER (ORDER BY id) AS place, count(*) OVER () AS total
            FROM todos WHERE owner_id = %s
        ) AS own WHERE place %% greatest(total / %s, 1) = 0 LIMIT %s
    """
    with psycopg.connect(url.replace("+asyncpg", "")) as connection:
        return [row[0] for row in connection.execute(statement.encode(), (reader, count, count))]
