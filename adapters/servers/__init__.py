"""Live servers through SQLAlchemy: PostgreSQL, MariaDB and MySQL, and every other dialect by the generic path."""
