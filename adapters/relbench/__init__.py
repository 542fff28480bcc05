"""RelBench 3 folders, in and out."""
