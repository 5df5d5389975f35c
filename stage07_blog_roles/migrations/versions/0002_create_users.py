"""Create the table of users, and give every todo an owner.

Existing todos have no owner. The migration gives them to the user `unowned-todos`, who cannot sign
in, until an administrator of the database gives them to a real user.
"""

import sqlalchemy as sa
from alembic import op

revision: str = "0002"
down_revision: str | None = "0001"

BIG_INTEGER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create users, then owners."""
    op.create_table(
        "users",
        sa.Column("id", BIG_INTEGER, nullable=False),
        sa.Column("username", sa.String(50), nullable=False),
        sa.Column("username_folded", sa.String(50), nullable=False),
        sa.Column("password_hash", sa.String(60), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.UniqueConstraint("username_folded", name="uq_users_username_folded"),
        sqlite_autoincrement=True,
    )
    op.add_column("todos", sa.Column("owner_id", BIG_INTEGER, nullable=True))
    give_todos_to_keeper()
    highest_id = read_highest_id()
    with op.batch_alter_table("todos", table_kwargs={"sqlite_autoincrement": True}) as todos:
        todos.alter_column("owner_id", existing_type=BIG_INTEGER, nullable=False)
        todos.create_foreign_key(
            "fk_todos_owner_id_users", "users", ["owner_id"], ["id"], ondelete="CASCADE"
        )
    keep_highest_id(highest_id)
    op.create_index("ix_todos_owner_id_id", "todos", ["owner_id", "id"])


def downgrade() -> None:
    """Drop the users. The todos stay, without owners."""
    highest_id = read_highest_id()
    op.drop_index("ix_todos_owner_id_id", "todos")
    with op.batch_alter_table("todos", table_kwargs={"sqlite_autoincrement": True}) as todos:
        todos.drop_constraint("fk_todos_owner_id_users", type_="foreignkey")
        todos.drop_column("owner_id")
    keep_highest_id(highest_id)
    op.drop_table("users")


def give_todos_to_keeper() -> None:
    """Create `unowned-todos` if there are todos. (Plain SQL: `--sql` can print it.)"""
    op.execute(
        "INSERT INTO users (username, username_folded, created_at)"
        " SELECT 'unowned-todos', 'unowned-todos', CURRENT_TIMESTAMP"
        " WHERE EXISTS (SELECT 1 FROM todos)"
    )
    op.execute("UPDATE todos SET owner_id = (SELECT id FROM users)")


def read_highest_id() -> int | None:
    """Return the highest id that SQLite ever gave to a todo."""
    connection = op.get_bind()
    if connection.dialect.name != "sqlite" or op.get_context().as_sql:
        return None
    highest_id: int | None = connection.scalar(
        sa.text("SELECT seq FROM sqlite_sequence WHERE name = 'todos'")
    )
    return highest_id


def keep_highest_id(highest_id: int | None) -> None:
    """Continue the ids from there. SQLite loses the counter when the batch rebuilds the table."""
    if highest_id is not None:
        connection = op.get_bind()
        connection.execute(sa.text("DELETE FROM sqlite_sequence WHERE name = 'todos'"))
        connection.execute(
            sa.text("INSERT INTO sqlite_sequence (name, seq) VALUES ('todos', :id)"),
            {"id": highest_id},
        )
