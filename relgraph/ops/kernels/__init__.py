"""The operations of :mod:`relgraph.ops` in Triton, a file of the same name each, imported only when picked."""
