"""What the operator itself serves: configuration to gateways, probes and metrics."""
