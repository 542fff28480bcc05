"""Link prediction on statements: scorers, training, ranking, prediction (installed as ``relgraph.kge``)."""

if __name__ != "relgraph.kge":
    raise ImportError(f"this folder is the package relgraph.kge, not {__name__}: use 'import relgraph.kge'")
