"""The cost of a model: parameters, MACs, latency, memory, operators."""
