"""The real parts on one machine: control plane, Ray, Envoy, a cloud stand-in, the SLM.

The demo, the tests and the campaigns start them through this package; nothing that ships imports it.
"""
