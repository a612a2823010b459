"""The agent beside Envoy: the relay of its configuration, and the guard on the only way out."""
