"""Who is who on the mTLS connection between operator and gateways."""

from typing import Final

OPERATOR_NAME: Final = "operator.tandem.internal"
"""DNS name in every operator's certificate. Gateways ask for it at whichever address they connect to."""

LOCAL_PREFIX: Final = "local|"
"""Begins the name of every Envoy cluster of replicas; ``namespace/name`` of the deployment follows."""
