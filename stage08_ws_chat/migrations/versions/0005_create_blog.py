"""Give users roles, and create the tables of posts and comments."""

import sqlalchemy as sa
from alembic import op

revision: str = "0005"
down_revision: str | None = "0004"

BIG_INTEGER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
LIVE = sa.text("deleted_at IS NULL")


def upgrade() -> None:
    """Existing users get the role user."""
    op.add_column("users", sa.Column("role", sa.String(20), nullable=False, server_default="user"))
    op.create_index("ix_users_role", "users", ["role"])
    op.create_table(
        "posts",
        sa.Column("id", BIG_INTEGER, nullable=False),
        sa.Column("author_id", BIG_INTEGER, nullable=False),
        sa.Column("title", sa.String(200), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_posts"),
        sa.ForeignKeyConstraint(
            ["author_id"], ["users.id"], name="fk_posts_author_id_users", ondelete="CASCADE"
        ),
        sqlite_autoincrement=True,
    )
    create_live_index("ix_posts_live", "posts", ["created_at", "id"])
    create_live_index("ix_posts_live_by_author", "posts", ["author_id", "created_at", "id"])
    op.create_table(
        "comments",
        sa.Column("id", BIG_INTEGER, nullable=False),
        sa.Column("post_id", BIG_INTEGER, nullable=False),
        sa.Column("author_id", BIG_INTEGER, nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_comments"),
        sa.ForeignKeyConstraint(
            ["post_id"], ["posts.id"], name="fk_comments_post_id_posts", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["author_id"], ["users.id"], name="fk_comments_author_id_users", ondelete="CASCADE"
        ),
        sqlite_autoincrement=True,
    )
    create_live_index("ix_comments_live", "comments", ["post_id", "created_at", "id"])


def downgrade() -> None:
    """Drop posts, comments and roles."""
    op.drop_table("comments")
    op.drop_table("posts")
    op.drop_index("ix_users_role", "users")
    op.drop_column("users", "role")


def create_live_index(name: str, table: str, columns: list[str]) -> None:
    """Create an index without the deleted rows."""
    op.create_index(name, table, columns, sqlite_where=LIVE, postgresql_where=LIVE)
