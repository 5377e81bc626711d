"""The tables. A change here needs a migration in `core/migrations`; a test compares the two.

``jobs`` has a row for each `Job` record: a job, a started array task, an array's waiting rest.
``allocations`` has a row for each attempt. What many jobs share stands once, by digest: ``specs``
(what was asked for) and ``contents`` (scripts, environments). ``nodes`` has a row for each node of
which an operator said something, ``reservations`` one for each of them, ``account_book`` one for
each entry of `core.accounts.Book`, ``association_usage`` one for each association that has used
anything of late. ``notices`` has a row for each event that a program is to hear of, also, for a
while, after it has (``due_at`` 0).
"""

from __future__ import annotations

from sqlalchemy import (
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    text,
)

SCHEMA_VERSION = "0005"
"""The newest migration; a database with another one is migrated, or refused if it is newer."""

APPLICATION_ID = 0x53746F6B
"""SQLite's ``application_id`` of our files ("Stok"): a foreign database is refused."""

metadata = MetaData()

specs = Table(
    "specs",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("body", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)

contents = Table(
    "contents",
    metadata,
    Column("digest", String, primary_key=True),
    Column("body", LargeBinary, nullable=False),
)

counters = Table(
    "counters",
    metadata,
    Column("name", String, primary_key=True),
    Column("value", Integer, nullable=False),
    sqlite_with_rowid=False,
)

submissions = Table(
    "submissions",
    metadata,
    Column("key", String, primary_key=True),
    Column("job_id", Integer, nullable=False),
    Column("at", Float, nullable=False),
    sqlite_with_rowid=False,
)

jobs = Table(
    "jobs",
    metadata,
    Column("job_id", Integer, primary_key=True, autoincrement=False),
    Column("spec", LargeBinary, nullable=False),
    Column("user_id", Integer, nullable=False),
    Column("user_name", String, nullable=False),
    Column("group_id", Integer, nullable=False),
    Column("group_name", String, nullable=False),
    Column("name", String, nullable=False),
    Column("partition", String, nullable=False),
    Column("state", String, nullable=False),
    Column("reason", String, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("nice", Integer, nullable=False),
    Column("hold", Integer, nullable=False),
    Column("time_limit_s", Float),
    Column("submit_at", Float, nullable=False),
    Column("begin_at", Float, nullable=False),
    Column("eligible_at", Float, nullable=False),
    Column("start_at", Float, nullable=False),
    Column("end_at", Float, nullable=False),
    Column("suspended_at", Float, nullable=False),
    Column("suspended_s", Float, nullable=False),
    Column("restarts", Integer, nullable=False),
    Column("requeue", Integer, nullable=False),
    Column("exit_code", Integer, nullable=False),
    Column("exit_signal", Integer, nullable=False),
    Column("derived_code", Integer, nullable=False),
    Column("derived_signal", Integer, nullable=False),
    Column("message", String, nullable=False),
    Column("ending", String),
    Column("ended_by", Integer, nullable=False),
    Column("dependency", String),
    Column("array_job_id", Integer, nullable=False),
    Column("array_task_id", Integer, nullable=False),
    Column("array_tasks", String),
    Column("array_limit", Integer, nullable=False),
)

# An ended job has end_at > 0: the same index finds the few that are active, and a time window.
Index("jobs_by_end", jobs.c.end_at)
Index("jobs_by_user", jobs.c.user_id, jobs.c.end_at)
# Partial on SQLite only: naming another dialect here would import it at every start.
Index("jobs_by_array", jobs.c.array_job_id, sqlite_where=text("array_job_id > 0"))

allocations = Table(
    "allocations",
    metadata,
    Column("job_id", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("state", String, nullable=False),
    Column("shares", LargeBinary, nullable=False),
    Column("token", String, nullable=False),
    Column("lane", Integer, nullable=False),
    Column("reserved_at", Float, nullable=False),
    Column("allocated_at", Float, nullable=False),
    Column("released_at", Float, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("start_ticks", Integer, nullable=False),
    Column("boot_id", String, nullable=False),
    Column("end_state", String),
    Column("exit_code", Integer, nullable=False),
    Column("exit_signal", Integer, nullable=False),
    Column("usage", LargeBinary),
    PrimaryKeyConstraint("job_id", "attempt"),
    sqlite_with_rowid=False,
)

steps = Table(
    "steps",
    metadata,
    Column("job_id", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("step_id", String, nullable=False),
    Column("body", LargeBinary, nullable=False),
    PrimaryKeyConstraint("job_id", "attempt", "step_id"),
    sqlite_with_rowid=False,
)

nodes = Table(
    "nodes",
    metadata,
    Column("name", String, primary_key=True),
    Column("state", String, nullable=False),
    Column("reason", String, nullable=False),
    Column("reason_at", Float, nullable=False),
    Column("reason_user", String, nullable=False),
    sqlite_with_rowid=False,
)

reservations = Table(
    "reservations",
    metadata,
    Column("name", String, primary_key=True),
    Column("body", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)

account_book = Table(
    "account_book",
    metadata,
    Column("kind", String, nullable=False),
    Column("name", String, nullable=False),
    Column("body", LargeBinary, nullable=False),
    PrimaryKeyConstraint("kind", "name"),
    sqlite_with_rowid=False,
)

transactions = Table(
    "transactions",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("at", Float, nullable=False),
    Column("body", LargeBinary, nullable=False),
)
Index("transactions_by_time", transactions.c.at)

association_usage = Table(
    "association_usage",
    metadata,
    Column("association_id", Integer, primary_key=True, autoincrement=False),
    Column("cpu_s", Float, nullable=False),
)

notices = Table(
    "notices",
    metadata,
    Column("event_id", String, primary_key=True),
    Column("at", Float, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("due_at", Float, nullable=False),
)
Index("notices_by_due", notices.c.due_at)

triggers = Table(
    "triggers",
    metadata,
    Column("trigger_id", Integer, primary_key=True, autoincrement=False),
    Column("body", LargeBinary, nullable=False),
)

crontabs = Table(
    "crontabs",
    metadata,
    Column("user_id", Integer, primary_key=True, autoincrement=False),
    Column("body", LargeBinary, nullable=False),
)
