"""The report on a database: what is sound in its keys and times, and what is not declared but seems to hold."""
