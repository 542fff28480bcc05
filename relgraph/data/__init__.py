"""The one data model: schema, database, graph and statements."""
