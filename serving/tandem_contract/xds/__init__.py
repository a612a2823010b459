"""How configuration travels: delta ADS, from the operator to the gateway's agent and on to Envoy, by the same code."""

from tandem_contract.xds.protos import InvalidResource, to_any
from tandem_contract.xds.resources import Key, Resource, from_dict, from_document, from_wire, identify, to_document
from tandem_contract.xds.server import LOCAL_OPTIONS, SERVER_OPTIONS, DeltaServer
from tandem_contract.xds.session import Programmed, State
from tandem_contract.xds.store import Store

__all__ = [
    "LOCAL_OPTIONS",
    "SERVER_OPTIONS",
    "DeltaServer",
    "InvalidResource",
    "Key",
    "Programmed",
    "Resource",
    "State",
    "Store",
    "from_dict",
    "from_document",
    "from_wire",
    "identify",
    "to_any",
    "to_document",
]
