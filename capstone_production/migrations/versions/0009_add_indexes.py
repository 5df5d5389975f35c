"""Add the indexes that a full database needs: for filters, the cleanup, and foreign keys.

Without an index on a foreign key, the deletion of one user reads the whole table.
"""

from alembic import op

revision: str = "0009"
down_revision: str | None = "0008"

INDEXES = {
    "todos": [["owner_id", "completed", "id"]],
    "jobs": [["owner_id", "status", "created_at", "id"], ["finished_at"]],
    "posts": [["created_at", "id"], ["author_id", "created_at", "id"]],
    "comments": [["post_id"], ["author_id"]],
}


def upgrade() -> None:
    """Create the indexes."""
    for table, indexes in INDEXES.items():
        for columns in indexes:
            op.create_index(f"ix_{table}_{'_'.join(columns)}", table, columns)


def downgrade() -> None:
    """Drop the indexes."""
    for table, indexes in INDEXES.items():
        for columns in indexes:
            op.drop_index(f"ix_{table}_{'_'.join(columns)}", table)
