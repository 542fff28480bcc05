"""Sources of tables and facts, one file per kind (installed as ``relgraph.adapters``)."""

if __name__ != "relgraph.adapters":
    raise ImportError(f"this folder is the package relgraph.adapters, not {__name__}: use 'import relgraph.adapters'")
