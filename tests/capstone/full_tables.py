"""A database after years of use: tens of thousands of rows in a table, half of them one user's.

The rows that a filter selects are rare, so a statement that reads the whole table is noticed.
"""

from __future__ import annotations

import psycopg

# ruff: noqa: S608 - no part of these statements comes from outside

ROWS = 40_000
IMAGES = 100_000  # their rows are short, so PostgreSQL would scan a smaller table
OTHERS = 5_000  # other users
BUSY = 25_000  # the position of a post outside of all tested pages; it gets many comments

GROWING = (
    *("todos", "images", "jobs", "posts", "comments", "messages"),
    *("users", "refresh_tokens", "idempotency_keys"),
)

# `me` is the user, `others` the id of the first other user; `n` counts the rows.
_OWNER = f"CASE WHEN n %% 2 = 0 THEN %(me)s ELSE %(others)s + n %% {OTHERS} END"
_ID = "('00000000-0000-4000-8000-' || lpad(to_hex(n), 12, '0'))::uuid"
_AT = "now() - interval '6 days' + n * interval '1 second'"
_SERIES = f"generate_series(1, {ROWS}) n"

_STATEMENTS = (
    f"""INSERT INTO todos (title, completed, created_at, updated_at, owner_id)
        SELECT 'todo ' || n, n %% 10000 = 0, {_AT}, {_AT}, {_OWNER} FROM {_SERIES}""",
    f"""INSERT INTO images (id, owner_id, filename, path, content_type, size, width, height,
                            uploaded_at)
        SELECT {_ID}, {_OWNER}, 'a.png', n || '.png', 'image/png', 1, 1, 1, {_AT}
        FROM generate_series(1, {IMAGES}) n""",
    f"""INSERT INTO jobs (id, owner_id, text, status, progress, attempts, created_at, due_at,
                          finished_at)
        SELECT {_ID}, {_OWNER}, 'text', CASE n %% 10000 WHEN 0 THEN 'failed'
               WHEN 2 THEN 'cancelled' ELSE 'succeeded' END, 100, 1, {_AT}, {_AT}, {_AT}
        FROM {_SERIES}""",
    # Some of the jobs are scheduled for the year 2099.
    f"""UPDATE jobs SET status = 'scheduled', finished_at = NULL, due_at = '2099-01-01'
        WHERE id IN (SELECT {_ID} FROM generate_series(1, {ROWS}, 18) n)""",
    f"""INSERT INTO posts (author_id, title, body, created_at, updated_at, deleted_at)
        SELECT {_OWNER}, 'post ' || n, 'body', {_AT}, {_AT}, CASE WHEN n %% 3 = 0 THEN now() END
        FROM {_SERIES}""",
    f"""INSERT INTO comments (post_id, author_id, body, created_at, updated_at, deleted_at)
        SELECT (SELECT min(id) FROM posts) + n / 2, {_OWNER}, 'body', {_AT}, {_AT},
               CASE WHEN n %% 3 = 0 THEN now() END
        FROM {_SERIES}""",
    f"""INSERT INTO messages (user_id, text, sent_at, client_id)
        SELECT {_OWNER}, 'text', {_AT}, 'client ' || n FROM {_SERIES}""",
    f"""INSERT INTO refresh_tokens (token_hash, family_id, user_id, created_at, expires_at)
        SELECT sha256(n::text::bytea), {_ID}, {_OWNER}, now(), now() + interval '1 day'
        FROM {_SERIES}""",
    f"""INSERT INTO idempotency_keys (owner_id, key, route, fingerprint, created_at, status,
                                      location, body)
        SELECT {_OWNER}, 'key ' || n, '/todos', '', now(), 201, '', '' FROM {_SERIES}""",
)


_ABOUT_ONE_POST = f"""INSERT INTO comments (post_id, author_id, body, created_at, updated_at)
    SELECT %(post)s, %(me)s, 'body', {_AT}, {_AT} FROM {_SERIES}"""


def fill(url: str, person_id: int) -> int:
    """Fill the tables; return the id of the post that has half of the comments."""
    with psycopg.connect(url.replace("+asyncpg", ""), autocommit=True) as connection:
        ((others,),) = connection.execute(
            "WITH made AS (INSERT INTO users (username, username_folded, created_at, role)"
            " SELECT 'other' || n, 'other' || n, now(), 'author' FROM generate_series(1, %s) n"
            " RETURNING id) SELECT min(id) FROM made",
            [OTHERS],
        ).fetchall()
        # This skips the check of foreign keys, which takes half of the time.
        connection.execute("SET session_replication_role = replica")
        for statement in _STATEMENTS:
            connection.execute(statement.encode(), {"me": person_id, "others": others})
        ((busy,),) = connection.execute(
            "SELECT id FROM posts WHERE deleted_at IS NULL AND id >"
            " (SELECT min(id) FROM posts) + %s ORDER BY id LIMIT 1",
            [BUSY],
        ).fetchall()
        connection.execute(_ABOUT_ONE_POST.encode(), {"post": busy, "me": person_id})
        connection.execute("VACUUM ANALYZE")
    return int(busy)
