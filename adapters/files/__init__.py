"""What DuckDB reads: Parquet and CSV folders, DuckDB files, frames."""
